//! The runs of an exploration: what is delivered to, what is done to a delivery, and what it left.

pub(crate) mod baseline;
pub(crate) mod batch_target;
pub(crate) mod calibration;
pub(crate) mod child_process;
pub(crate) mod composition;
pub(crate) mod copy_pool;
pub(crate) mod exploration;
mod finding;
#[cfg(test)]
mod fixture;
pub(crate) mod injector;
pub(crate) mod plan;
pub(crate) mod process;
mod returned;
pub(crate) mod runner;
mod single_run;
pub(crate) mod target;
