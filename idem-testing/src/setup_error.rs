//! Why an exploration could not be carried out.

use std::fmt;

/// Why a database can't be explored.
#[derive(Debug)]
pub struct SetupError {
    message: String,
    source: Option<sqlx::Error>,
}

impl SetupError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// What failed, in front of the database's own words.
    pub(crate) fn sql(doing: impl fmt::Display) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| Self {
            message: format!("{doing}: {error}"),
            source: Some(error),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
