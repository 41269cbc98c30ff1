//! What becomes of a request that is made to fail, and how a session ends.

use super::*;
use crate::fault_proxy::step::InjectedError::{Deadlock, SerializationFailure};
use crate::fault_proxy::step::StepKind::{Execute, Ping, Prepare, Query};

#[test]
fn a_deadlock_happens_where_a_lock_is_taken_and_rolls_back() {
    let mut codec = MySql::default();
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41));
    let lines = [Server(&greeting), Client(&login), Server(&packet(2, OK))];
    play(&mut codec, &lines, usize::MAX).unwrap();
    let substitute = |kind: StepKind, sql: &str, error: InjectedError| {
        let request = Request {
            bytes: Vec::new(),
            kind,
            sql: Some(sql.into()),
        };
        codec.substitute(&request, error).map(|substitute| {
            assert_eq!(substitute.undo, Some(query("ROLLBACK")));
            let instead = substitute.instead.sql.unwrap();
            instead.strip_suffix(DEADLOCK).unwrap().to_owned()
        })
    };
    let here = |text: &str| Some(text.to_owned());
    let batch = "SET autocommit = 0; START TRANSACTION; INSERT INTO t VALUES (1); COMMIT";
    for (kind, sql, error, expected) in [
        (Query, "COMMIT", Deadlock, here("")),
        (Query, "ROLLBACK", Deadlock, None),
        (
            Query,
            batch,
            Deadlock,
            here("SET autocommit = 0; START TRANSACTION;"),
        ),
        (
            Query,
            batch,
            SerializationFailure,
            here("SET autocommit = 0; START TRANSACTION; INSERT INTO t VALUES (1);"),
        ),
        (Execute, "SELECT 1", Deadlock, here("")),
        (Prepare, "SELECT 1", Deadlock, here("")),
        (Ping, "", Deadlock, None),
    ] {
        assert_eq!(substitute(kind, sql, error), expected, "{kind:?} {sql}");
    }
}

#[test]
fn the_error_of_a_reply_is_known() {
    let mut codec = MySql::default();
    let query = packet(0, b"\x03SELECT 1");
    let lines = [
        Server(&greeting(PROTOCOL_41, 0)),
        Client(&login(PROTOCOL_41)),
        Server(&packet(2, OK)),
        Client(&query),
        Server(&packet(1, ERROR)),
    ];
    play(&mut codec, &lines, usize::MAX).unwrap();
    assert_eq!(codec.sqlstate(), Some(*b"40001"));
    play(
        &mut codec,
        &[Client(&query), Server(&packet(1, OK))],
        usize::MAX,
    )
    .unwrap();
    assert_eq!(codec.sqlstate(), None);
}

#[test]
fn a_session_is_reset_before_it_ends() {
    assert_eq!(MySql::default().session_end(), SessionEnd::default());
    let mut codec = MySql::default();
    let lines = [
        Server(&greeting(PROTOCOL_41, 0)),
        Client(&login(PROTOCOL_41)),
        Server(&packet(2, OK)),
    ];
    play(&mut codec, &lines, usize::MAX).unwrap();
    let session_end = codec.session_end();
    assert_eq!(session_end.reset.unwrap().bytes, packet(0, b"\x1f"));
    assert_eq!(session_end.terminate, packet(0, b"\x01"));
}
