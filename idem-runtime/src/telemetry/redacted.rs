//! Errors as a log may hold them.

use std::fmt;

/// A database's error without what it quotes: MySQL puts the key of a duplicate entry into its
/// message, PostgreSQL a row into its details, serde a value.
pub(crate) struct Redacted<'a>(pub(crate) &'a sqlx::Error);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            sqlx::Error::Database(error) => {
                let code = error.code();
                write!(
                    f,
                    "the database refused with {}",
                    code.as_deref().unwrap_or("no code")
                )
            }
            error @ (sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement) => error.fmt(f),
            sqlx::Error::Encode(_) => f.write_str("a value could not be encoded"),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                f.write_str("a value could not be decoded")
            }
            sqlx::Error::Tls(_) => f.write_str("TLS failed"),
            sqlx::Error::Protocol(_) => f.write_str("the server broke the protocol"),
            _ => f.write_str("the driver failed"),
        }
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &sqlx::Error) -> [String; 2] {
        let report = Redacted(error);
        [report.to_string(), format!("{report:?}")]
    }

    #[test]
    fn what_an_error_quotes_is_not_shown() {
        for (error, expected) in [
            (
                sqlx::Error::Encode("secret".into()),
                "a value could not be encoded",
            ),
            (
                sqlx::Error::Decode("secret".into()),
                "a value could not be decoded",
            ),
            (
                sqlx::Error::Protocol("secret".into()),
                "the server broke the protocol",
            ),
            (
                sqlx::Error::AnyDriverError("secret".into()),
                "the driver failed",
            ),
            (sqlx::Error::Tls("secret".into()), "TLS failed"),
            // It quotes no value, and says most.
            (
                sqlx::Error::Io(std::io::Error::other("connection reset")),
                "error communicating with database: connection reset",
            ),
        ] {
            assert_eq!(shown(&error), [expected, expected]);
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_database_is_known_by_its_code_alone() {
        use sqlx::{Connection as _, SqliteConnection};

        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let error = runtime.unwrap().block_on(async {
            let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            let statement = sqlx::raw_sql("SELECT secret");
            statement.execute(&mut conn).await.unwrap_err()
        });
        assert!(error.to_string().contains("secret"), "{error}");
        let expected = "the database refused with 1";
        assert_eq!(shown(&error), [expected, expected]);
    }
}
