//! A broker's process.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

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

impl Server {
    pub(super) const fn new(program: Program, url: String, helpers: Vec<Program>) -> Self {
        Self {
            program,
            url,
            helpers,
        }
    }
}

/// Where a program is, first in these folders and then in PATH.
pub(super) fn find(name: &str, first: &[PathBuf]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = first.iter().cloned().chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(name));
    programs
        .find(|program| program.is_file())
        .with_context(|| format!("there is no program {name}"))
}
