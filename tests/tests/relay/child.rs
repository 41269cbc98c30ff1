//! A relay in a process of its own.

use std::collections::BTreeSet;
use std::process::Stdio;

use idem_runtime::EventId;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::receivers::within;

/// It is killed when this is dropped.
pub(crate) struct RelayProcess {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl RelayProcess {
    /// `confirm`, or `hold` what it is handed.
    pub(crate) fn start(url: &str, what: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_relay"))
            .args([url, what])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, printed }
    }

    /// Waits until it was handed all of these events and no others.
    pub(crate) async fn is_handed(&mut self, ids: &[EventId]) {
        let mut handed = BTreeSet::new();
        while handed.len() < ids.len() {
            let line = within(self.printed.next_line()).await.unwrap();
            handed.insert(line.expect("the relay has ended"));
        }
        assert_eq!(handed, ids.iter().map(ToString::to_string).collect());
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
