use super::pause::longest_pause;
use super::*;

#[test]
fn the_longest_pause_doubles_up_to_a_second() {
    let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(longest_pause);
    assert_eq!(pauses, [10, 20, 40, 640, 1_000, 1_000, 1_000]);
}

/// Cure: the attempts are counted. Without a transaction of its own a call has none but the first.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_call_has_as_many_attempts_more_as_its_handler_says() {
    use sqlx::{Connection as _, SqliteConnection, SqlitePool};

    static SPEC: Spec = Spec::new("run.retried").retry(2);
    let pool = SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let mut run = Run::new(&pool, &SPEC, None, false);
    for allowed in [true, true, false, false] {
        assert_eq!(run.another_attempt().await, allowed);
    }
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let mut joined = Run::new(&mut tx, &SPEC, None, false);
    assert!(!joined.another_attempt().await);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_call_that_has_no_connection_has_nothing_to_roll_back() {
    static SPEC: Spec = Spec::new("run.at_rest");
    let pool = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let mut run = Run::new(&pool, &SPEC, None, false);
    run.roll_back().await;
    assert!(run.session.is_at_rest());
}

#[test]
fn a_fault_is_the_error_that_a_caller_can_act_on() {
    let refused = |fault| refused(fault, sqlx::Error::RowNotFound);
    assert!(matches!(refused(Fault::TimedOut), Error::InFlight));
    assert!(matches!(refused(Fault::NotMigrated), Error::NotMigrated));
    assert!(matches!(refused(Fault::Refused), Error::Store(_)));
}

#[test]
fn what_ended_a_transaction_is_said_without_what_the_database_quotes() {
    let error = || sqlx::Error::Protocol("secret".into());
    for unended in [
        Unended::Conflict(error()),
        Unended::Failed(Error::Store(error())),
    ] {
        assert_eq!(unended.to_string(), "the server broke the protocol");
    }
    let rolled_back = Unended::Failed(Error::RolledBack).to_string();
    assert!(rolled_back.contains("no longer whole"), "{rolled_back}");
}
