//! What surrounds the handlers of the programs in the folder above. Nothing in here uses
//! `idem_runtime`, so the programs check it from outside.

pub mod arguments;
pub mod audit;
pub mod broker;
pub mod consumer;
pub mod report;
pub mod target;
