//! A broker's process.

use crate::process::Program;

/// A broker of this program's own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) program: Program,
    /// How to reach it.
    pub(crate) url: String,
    /// What it needs beside it, and what ends with it.
    #[expect(dead_code, reason = "held, so that it runs for as long")]
    pub(super) helpers: Vec<Program>,
}

#[cfg_attr(
    not(feature = "rabbitmq"),
    expect(dead_code, reason = "no broker can be started")
)]
impl Server {
    pub(super) const fn new(program: Program, url: String, helpers: Vec<Program>) -> Self {
        Self {
            program,
            url,
            helpers,
        }
    }
}
