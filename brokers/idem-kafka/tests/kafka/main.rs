//! Publisher and source, against a real broker.

mod broker;
mod conforms;
mod publisher;
mod source;
