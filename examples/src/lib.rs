//! What surrounds the handlers of the programs beside this folder: nothing in here knows of
//! `idem_runtime`, so what the programs report about it is seen from outside.

pub mod arguments;
pub mod audit;
pub mod broker;
pub mod consumer;
pub mod report;
pub mod target;
