use super::super::stub_error::{BROKEN, stub_error};
use super::*;

/// Guards: the low byte decides for what has extended codes, but for a primary key, which is our
/// own claim's.
#[test]
fn a_result_code_means_one_thing() {
    for (codes, fault) in [
        (&["1555"][..], ErrorClass::Duplicate),
        // Without the name of the outbox in its message.
        (&["1299"], ErrorClass::OtherNamespace),
        (&["5", "261", "517", "6", "262"], ErrorClass::Conflict),
        (&["10", "778"], ErrorClass::Unknown),
        (&["1", "8", "13", "19", "787", "2067"], ErrorClass::Refused),
    ] {
        for &code in codes {
            let error = stub_error(code);
            assert_eq!(Sqlite::classify(&error), fault, "{code}");
            let is_conflict = error.as_database_error().map(Sqlite::is_conflict);
            assert_eq!(is_conflict, Some(fault == ErrorClass::Conflict), "{code}");
        }
    }
    assert_eq!(
        Sqlite::classify(&verdict(ErrorClass::Lost)),
        ErrorClass::Lost
    );
}

#[test]
fn a_worker_that_broke_leaves_its_statement_unknown() {
    for (error, is_unknown) in BROKEN {
        assert_eq!(
            Sqlite::classify(&error()) == ErrorClass::Unknown,
            is_unknown
        );
    }
}
