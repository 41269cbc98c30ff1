//! Publisher and source, against real brokers.

mod broker;
mod conforms;
mod publisher;
mod settings;
mod source;
