//! A program, what it wrote, and how it ended.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The program, built as `scripts/test` builds it: then there is nothing to do. A single suite does
/// not build it.
pub(crate) fn program(name: &str) -> Command {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--workspace",
                "--all-features",
                "--examples",
                "--locked",
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(built.status.success(), "the examples do not build");
        let messages = String::from_utf8(built.stdout).unwrap();
        let artifacts = messages
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        artifacts
            .filter(|artifact| artifact["target"]["kind"] == json!(["example"]))
            .map(|artifact| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (
                    text(&artifact["target"]["name"]),
                    text(&artifact["executable"]).into(),
                )
            })
            .collect()
    });
    Command::new(&programs[name])
}

/// What a program wrote, and how it ended.
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

    /// The number that the last line gives to `name`.
    pub(crate) fn told(&self, name: &str) -> usize {
        let word = self
            .last_line()
            .split(' ')
            .find_map(|word| word.strip_prefix(&format!("{name}=")));
        word.and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{self:?}"))
    }
}
