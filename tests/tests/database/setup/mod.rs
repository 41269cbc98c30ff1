//! What is checked before the first call.

mod encoding;
mod verify;
mod warnings;
