use super::super::told::{BROKEN, told};
use super::*;

/// Cure: the low byte decides for what has extended codes, but for a primary key, which is our own claim's.
#[test]
fn a_result_code_means_one_thing() {
    for (codes, fault) in [
        (&["1555"][..], Fault::Duplicate),
        (&["5", "261", "517", "6", "262"], Fault::Conflict),
        (&["10", "778"], Fault::Unknown),
        (&["1", "8", "13", "19", "787", "2067"], Fault::Refused),
    ] {
        for &code in codes {
            assert_eq!(Sqlite::fault(&told(code)), fault, "{code}");
        }
    }
    assert_eq!(Sqlite::fault(&verdict(Fault::Lost)), Fault::Lost);
}

#[test]
fn a_worker_that_broke_leaves_its_statement_unknown() {
    for (error, is_unknown) in BROKEN {
        assert_eq!(Sqlite::fault(&error()) == Fault::Unknown, is_unknown);
    }
}
