//! How a server is started.

use std::fmt;
use std::path::PathBuf;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) durable: bool,
    pub(super) settings: Vec<(String, String)>,
    pub(super) messages: Option<String>,
    pub(super) programs: Vec<PathBuf>,
}

impl Options {
    /// Flushes every commit to disk, for tests and measurements that are about that.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// A line of the server's configuration, such as `("wal_level", "logical")`.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// The language of the server's messages, as in `de_DE`. Starting fails when the server has no
    /// translation for it, as a test would prove nothing then.
    #[must_use]
    pub fn messages(mut self, locale: impl Into<String>) -> Self {
        self.messages = Some(locale.into());
        self
    }

    /// Takes the server's programs from this folder where they are in it: another version, say.
    #[must_use]
    pub fn programs_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs.push(folder.into());
        self
    }
}
