//! What becomes of a request that is made to fail, and how a session ends.

use super::*;
use crate::fault_proxy::step::InjectedError::{Deadlock, SerializationFailure};
use crate::fault_proxy::step::StepKind::{Execute, Other, Ping, Prepare, Query};

/// What the server executes in place of a request in each state, and what after it.
#[test]
fn an_injected_error_leaves_the_state_that_the_server_would() {
    let substitute = |ready: &[u8], kind: StepKind, sql: &str, error: InjectedError| {
        let request = Request {
            bytes: Vec::new(),
            kind,
            sql: Some(sql.into()),
        };
        in_state(ready)
            .substitute(&request, error)
            .map(|substitute| {
                let instead = substitute.instead.sql.unwrap();
                let raised = [DEADLOCK, SERIALIZATION_FAILURE]
                    .into_iter()
                    .find_map(|raise| instead.strip_suffix(raise))
                    .unwrap();
                (raised.to_owned(), substitute.undo.is_some())
            })
    };
    let here = |text: &str| Some((text.to_owned(), false));
    let ended = |text: &str| Some((text.to_owned(), true));
    for (state, kind, sql, error, expected) in [
        (READY, Query, "SELECT 1", Deadlock, here("")),
        (IN_TRANSACTION, Query, "SELECT 1", Deadlock, here("")),
        (ABORTED, Query, "SELECT 1", Deadlock, None),
        (IN_TRANSACTION, Query, "COMMIT", Deadlock, ended("")),
        (ABORTED, Query, "COMMIT", Deadlock, None),
        (ABORTED, Query, "ROLLBACK", Deadlock, None),
        (READY, Query, "BEGIN", Deadlock, here("")),
        (READY, Query, "BEGIN; SELECT 1", Deadlock, here("BEGIN;")),
        (
            IN_TRANSACTION,
            Query,
            "SELECT 1; COMMIT",
            Deadlock,
            here(""),
        ),
        (
            IN_TRANSACTION,
            Query,
            "SELECT 1; COMMIT",
            SerializationFailure,
            ended("SELECT 1;"),
        ),
        (
            ABORTED,
            Query,
            "ROLLBACK; SELECT 1",
            Deadlock,
            here("ROLLBACK;"),
        ),
        (IN_TRANSACTION, Execute, "COMMIT", Deadlock, ended("")),
        // It is not being committed yet.
        (IN_TRANSACTION, Prepare, "COMMIT", Deadlock, here("")),
        (ABORTED, Prepare, "SELECT 1", Deadlock, None),
        (IN_TRANSACTION, Ping, "", Deadlock, None),
        (IN_TRANSACTION, Other, "SELECT 1", Deadlock, None),
    ] {
        let found = substitute(state, kind, sql, error);
        assert_eq!(found, expected, "{kind:?} {sql} {error:?}");
    }
}

#[test]
fn the_last_error_of_a_reply_is_known() {
    let mut codec = in_state(READY);
    let error = message(b'E', b"SERROR\0C40001\0Mno\0\0");
    let query = message::query("SELECT 1");
    let failed = [error.as_slice(), ABORTED].concat();
    play(&mut codec, &[Client(&query), Server(&failed)], usize::MAX).unwrap();
    assert_eq!(codec.sqlstate(), Some(*b"40001"));
    play(&mut codec, &[Client(&query), Server(READY)], usize::MAX).unwrap();
    assert_eq!(codec.sqlstate(), None);
}

#[test]
fn a_session_that_ends_in_a_transaction_is_rolled_back_first() {
    for (state, resets) in [(READY, false), (IN_TRANSACTION, true), (ABORTED, true)] {
        let session_end = in_state(state).session_end();
        assert_eq!(session_end.reset.is_some(), resets);
        assert_eq!(session_end.terminate, message::TERMINATE);
    }
    assert_eq!(Postgres::default().session_end(), SessionEnd::default());
}
