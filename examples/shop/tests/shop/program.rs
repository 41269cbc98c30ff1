//! The program, what it wrote, and how it ended.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

pub(crate) fn shop() -> Command {
    Command::new(env!("CARGO_BIN_EXE_shop"))
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ran {
        succeeded: status.success(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    pub(crate) fn last_line(&self) -> &str {
        self.stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Where its databases were.
    pub(crate) fn folder(&self) -> PathBuf {
        folder(&self.stdout)
    }
}

/// Where the databases are, as a run says at its begin.
pub(crate) fn folder(stdout: &str) -> PathBuf {
    let database = stdout
        .split_whitespace()
        .find(|word| word.ends_with("orders.db"));
    let database = PathBuf::from(database.unwrap_or_else(|| panic!("no database in {stdout}")));
    database.parent().unwrap().to_owned()
}

pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.any(|folder| folder.join(program).is_file())
}
