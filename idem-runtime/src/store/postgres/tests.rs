use std::borrow::Cow;

use sqlx::error::ErrorKind;

use super::*;

/// An error as a server tells it. The driver's own type has no constructor.
#[derive(Debug)]
struct Told(&'static str);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Told {}

impl DatabaseError for Told {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// Cure: what may have been committed is unknown, never refused: the next delivery finds out.
#[test]
fn a_code_of_the_server_means_one_thing() {
    for (codes, fault) in [
        (&["IDM01"][..], Fault::Duplicate),
        (&["40001", "40P01"], Fault::Conflict),
        (&["55P03"], Fault::TimedOut),
        (&["IDM02", "25P02", "25P01", "3B001"], Fault::Lost),
        (&["42P01", "42883", "42703", "3F000"], Fault::NotMigrated),
        (
            &[
                "57P01", "57P02", "57P05", "08006", "08P01", "58030", "XX000", "F0000",
            ],
            Fault::Unknown,
        ),
        (
            &["23505", "57014", "42501", "22021", "53300"],
            Fault::Refused,
        ),
    ] {
        for &code in codes {
            let error = sqlx::Error::Database(Box::new(Told(code)));
            assert_eq!(Postgres::fault(&error), fault, "{code}");
        }
    }
}

#[test]
fn a_connection_that_broke_leaves_its_statement_unknown() {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    for (error, fault) in [
        (sqlx::Error::Io(broken), Fault::Unknown),
        (sqlx::Error::Protocol("cut".into()), Fault::Unknown),
        (sqlx::Error::WorkerCrashed, Fault::Unknown),
        (sqlx::Error::PoolTimedOut, Fault::Refused),
        (sqlx::Error::RowNotFound, Fault::Refused),
    ] {
        assert_eq!(Postgres::fault(&error), fault, "{error}");
    }
}

#[test]
fn a_literal_holds_its_text_whatever_stands_in_it() {
    assert_eq!(text(r"a'b\c"), r"E'a''b\\c'");
    assert_eq!(bytes(b"\0'\\"), r"E'\\x00275c'");
    assert_eq!(optional(None), "NULL");
}
