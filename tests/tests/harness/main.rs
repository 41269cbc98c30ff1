//! What the tests themselves stand on: the servers that they start, and the proxy that cuts, delays
//! and counts.

mod proxy;
mod servers;
