use super::super::stub_error::{BROKEN, stub_error};
use super::literal::{bytes, optional, text};
use super::*;

/// Guards: what may have been committed is unknown, never refused: the next delivery finds out.
#[test]
fn a_code_of_the_server_means_one_thing() {
    for (codes, fault) in [
        (&["IDM01"][..], ErrorClass::Duplicate),
        (&["40001", "40P01"], ErrorClass::Conflict),
        (&["55P03"], ErrorClass::TimedOut),
        (&["IDM02", "25P02", "25P01", "3B001"], ErrorClass::Lost),
        (
            &["42P01", "42883", "42703", "3F000"],
            ErrorClass::NotMigrated,
        ),
        (
            &[
                "57P01", "57P02", "57P05", "08006", "08P01", "58030", "XX000", "F0000",
            ],
            ErrorClass::Unknown,
        ),
        (&["23505", "57014", "22021", "53300"], ErrorClass::Refused),
    ] {
        for &code in codes {
            let error = stub_error(code);
            assert_eq!(Postgres::classify(&error), fault, "{code}");
            let is_conflict = error.as_database_error().map(Postgres::is_conflict);
            assert_eq!(is_conflict, Some(fault == ErrorClass::Conflict), "{code}");
        }
    }
}

#[test]
fn a_connection_that_broke_leaves_its_statement_unknown() {
    for (error, is_unknown) in BROKEN {
        assert_eq!(
            Postgres::classify(&error()) == ErrorClass::Unknown,
            is_unknown
        );
    }
}

#[test]
fn a_literal_holds_its_text_whatever_stands_in_it() {
    assert_eq!(text(r"a'b\c"), r"E'a''b\\c'");
    assert_eq!(text("é😀"), r"E'\U000000E9\U0001F600'");
    assert_eq!(bytes(b"\0'\\"), r"E'\\x00275c'");
    assert_eq!(optional(None), "NULL");
}
