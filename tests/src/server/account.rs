//! The account that servers run under: they refuse to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::Error;

/// Who runs the servers: `nobody` when the tests run as root, otherwise whoever runs the tests.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// `None`: the account of the tests themselves.
    other: Option<(u32, u32)>,
    uid: u32,
}

impl Account {
    pub(super) fn unprivileged() -> Result<Self, Error> {
        let uid = fs::metadata("/proc/self")
            .map_err(|e| Error::io("/proc/self", e))?
            .uid();
        if uid != 0 {
            return Ok(Self { other: None, uid });
        }
        let uid = id_of_nobody("-u")?;
        let gid = id_of_nobody("-g")?;
        Ok(Self {
            other: Some((uid, gid)),
            uid,
        })
    }

    /// What stands before a command to run it under this account.
    pub(super) fn prefix(&self) -> Vec<String> {
        match self.other {
            None => Vec::new(),
            // Replaces itself by the command, so that the process ID is the command's.
            Some((uid, gid)) => vec![
                "setpriv".into(),
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                "--".into(),
            ],
        }
    }

    /// A command that runs `program` under this account.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut words = self.prefix().into_iter();
        match words.next() {
            None => Command::new(program),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
        }
    }

    /// Hands a file or an empty folder over to this account.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self.other {
            None => Ok(()),
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)).map_err(|e| Error::io(path, e)),
        }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

fn id_of_nobody(which: &str) -> Result<u32, Error> {
    let output = Command::new("id")
        .args([which, "nobody"])
        .output()
        .map_err(|e| Error::io("id", e))?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|_| Error::Failed("there is no account `nobody` to run the servers under".into()))
}
