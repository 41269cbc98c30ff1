use super::backoff::longest_pause;
use super::*;
use crate::error::Error;

#[test]
fn the_longest_pause_doubles_up_to_a_second() {
    let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(longest_pause);
    assert_eq!(pauses, [10, 20, 40, 640, 1_000, 1_000, 1_000]);
}

/// Guards: the attempts are counted. Without a transaction of its own a call has none but the
/// first.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_call_has_as_many_attempts_more_as_its_handler_says() {
    use sqlx::{Connection as _, SqliteConnection, SqlitePool};

    let policy = || Policy {
        retry: 2,
        ..Policy::new("retried")
    };
    let pool = SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let mut execution = Execution::new(&pool, policy(), None, false);
    for allowed in [true, true, false, false] {
        assert_eq!(execution.another_attempt().await, allowed);
    }
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let mut joined = Execution::new(&mut tx, policy(), None, false);
    assert!(!joined.another_attempt().await);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_call_that_has_no_connection_has_nothing_to_roll_back() {
    let policy = || Policy::new("idle");
    let pool = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    let mut execution = Execution::new(&pool, policy(), None, false);
    execution.roll_back().await;
    assert!(execution.session.is_idle());
}

#[test]
fn what_ended_a_transaction_is_said_without_what_the_database_quotes() {
    let error = || sqlx::Error::Protocol("secret".into());
    for unfinished in [
        super::finish::FinishError::Conflict(error()),
        super::finish::FinishError::Failed(Error::Store(error())),
    ] {
        assert_eq!(unfinished.to_string(), "the server broke the protocol");
    }
    let rolled_back = super::finish::FinishError::Failed(Error::RolledBack).to_string();
    assert!(rolled_back.contains("no longer whole"), "{rolled_back}");
}
