use super::super::stub_error::{BROKEN, stub_error};
use super::call::lock_wait;
use super::error_class::meaning;
use super::*;

#[test]
fn a_connection_that_broke_leaves_its_statement_unknown() {
    for (error, is_unknown) in BROKEN {
        assert_eq!(MySql::classify(&error()) == ErrorClass::Unknown, is_unknown);
    }
    // A server's error that is not the driver's own has no number.
    assert_eq!(MySql::classify(&stub_error("1062")), ErrorClass::Refused);
}

/// Guards: what may have been committed is unknown, never refused: the next delivery finds out.
#[test]
fn a_number_of_the_server_means_one_thing() {
    for (numbers, fault) in [
        (&[1062][..], ErrorClass::Duplicate),
        (&[1213, 3101, 1020], ErrorClass::Conflict),
        (&[1205], ErrorClass::TimedOut),
        (&[1690], ErrorClass::EventConflict),
        (&[1305, 1242], ErrorClass::Lost),
        (&[1146, 1054], ErrorClass::NotMigrated),
        (
            &[1053, 1152, 1158, 1161, 1180, 1317, 1927, 1969],
            ErrorClass::Unknown,
        ),
        (&[2006, 2013, 3024, 4031], ErrorClass::Unknown),
        (&[0, 1151, 1162, 1406, 1452], ErrorClass::Refused),
    ] {
        for &number in numbers {
            assert_eq!(meaning(number), fault, "{number}");
        }
    }
}

/// Guards: a wait is rounded up, since 0 seconds would be none, and is no more than the server
/// takes.
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
