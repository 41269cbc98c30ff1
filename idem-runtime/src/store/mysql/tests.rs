use super::super::told::{BROKEN, told};
use super::*;

#[test]
fn a_connection_that_broke_leaves_its_statement_unknown() {
    for (error, is_unknown) in BROKEN {
        assert_eq!(MySql::fault(&error()) == Fault::Unknown, is_unknown);
    }
    // A server's error that is not the driver's own has no number.
    assert_eq!(MySql::fault(&told("1062")), Fault::Refused);
}

/// Cure: a wait is rounded up, since 0 seconds would be none, and is no more than the server takes.
#[test]
fn a_wait_is_in_whole_seconds() {
    for (millis, seconds) in [
        (1, "1"),
        (1_000, "1"),
        (1_001, "2"),
        (30_000, "30"),
        (u64::MAX, "100000000"),
    ] {
        assert_eq!(lock_wait(Duration::from_millis(millis)), seconds);
    }
    assert!(lock_wait(Duration::ZERO).starts_with("IF("));
}
