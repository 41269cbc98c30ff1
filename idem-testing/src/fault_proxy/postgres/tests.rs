use super::*;
use crate::fault_proxy::codec::tests::Line::{Client, Server};
use crate::fault_proxy::codec::tests::Observed::{Reply, Unasked};
use crate::fault_proxy::codec::tests::{Line, Observed, play, play_in_pieces, survive_garbage};

mod injected_error;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn untyped(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    untyped(196_608, b"user\0postgres\0\0")
}

const READY: &[u8] = b"Z\0\0\0\x05I";
const IN_TRANSACTION: &[u8] = b"Z\0\0\0\x05T";
const ABORTED: &[u8] = b"Z\0\0\0\x05E";
const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const SYNC: &[u8] = b"S\0\0\0\x04";

fn sent(bytes: &[u8], kind: StepKind, sql: Option<&str>) -> Observed {
    Observed::ClientMessage(ClientMessage::Request(Request {
        bytes: bytes.to_vec(),
        kind,
        sql: sql.map(Into::into),
    }))
}

/// What a session hears after it was let in.
fn session(lines: &[Line<'_>]) -> Vec<Observed> {
    let startup = startup();
    let let_in = [LET_IN, READY].concat();
    let all = [&[Client(&startup), Server(&let_in)], lines].concat();
    play_in_pieces::<Postgres>(&all).split_off(2)
}

/// A session that is in the state which this reply to some query tells.
fn in_state(ready: &[u8]) -> Postgres {
    let mut codec = Postgres::default();
    let lines = [
        Client(&startup()),
        Server(&[LET_IN, READY].concat()),
        Client(&message::query("SELECT 1")),
        Server(ready),
    ];
    play(&mut codec, &lines, usize::MAX).unwrap();
    codec
}

#[test]
fn each_message_of_a_handshake_that_waits_for_the_client_ends_a_reply() {
    let startup = startup();
    let tls = untyped(SSL_REQUEST, b"");
    let gss = untyped(GSS_REQUEST, b"");
    let hello = [tls, gss, startup.clone()].concat();
    let ask = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let first = message(b'p', b"SCRAM-SHA-256\0\0\0\0\x01n");
    let go_on = message(b'R', b"\0\0\0\x0br=");
    let second = message(b'p', b"c=");
    let last = [
        message(b'R', b"\0\0\0\x0cv=").as_slice(),
        LET_IN,
        &message(b'S', b"TimeZone\0UTC\0"),
        &message(b'K', b"\0\0\0\x01\0\0\0\x02"),
        READY,
    ]
    .concat();
    let observed = play_in_pieces::<Postgres>(&[
        Client(&hello),
        Server(&ask),
        Client(&first),
        Server(&go_on),
        Client(&second),
        Server(&last),
    ]);
    assert_eq!(
        observed,
        [
            Observed::ClientMessage(ClientMessage::AnsweredHere(b"N")),
            Observed::ClientMessage(ClientMessage::AnsweredHere(b"N")),
            sent(&startup, StepKind::Handshake, None),
            Reply(vec![ask.len()]),
            sent(&first, StepKind::Handshake, None),
            Reply(vec![go_on.len()]),
            sent(&second, StepKind::Handshake, None),
            Reply(vec![11, 9, 18, 13, 6]),
        ]
    );
}

#[test]
fn who_is_turned_away_has_a_whole_reply() {
    let startup = startup();
    let no = message(b'E', b"SFATAL\0C28000\0Mno\0\0");
    let observed = play_in_pieces::<Postgres>(&[Client(&startup), Server(&no)]);
    assert_eq!(observed[1], Reply(vec![no.len()]));
}

#[test]
fn a_query_is_answered_up_to_ready() {
    let query = message::query("SELECT 1");
    let rows = [
        message(b'T', b"\0\0").as_slice(),
        &message(b'D', b"\0\0"),
        &message(b'C', b"SELECT 1\0"),
        READY,
    ]
    .concat();
    assert_eq!(
        session(&[Client(&query), Server(&rows)]),
        [
            sent(&query, StepKind::Query, Some("SELECT 1")),
            Reply(vec![7, 7, 14, 6])
        ]
    );
}

#[test]
fn messages_up_to_a_sync_are_one_request_and_tell_the_sql_that_was_prepared() {
    let prepare = [
        message(b'P', b"s1\0SELECT $1\0\0\0").as_slice(),
        &message(b'D', b"Ss1\0"),
        SYNC,
    ]
    .concat();
    let execute = [
        message(b'B', b"\0s1\0\0\0\0\0\0\0").as_slice(),
        &message(b'E', b"\0\0\0\0\0"),
        &message(b'C', b"P\0"),
        SYNC,
    ]
    .concat();
    let forget = [message(b'C', b"Ss1\0").as_slice(), SYNC].concat();
    assert_eq!(
        session(&[
            Client(&prepare),
            Server(READY),
            Client(&execute),
            Server(READY),
            Client(&forget),
            Server(READY),
            Client(&execute),
            Server(READY),
            Client(SYNC),
            Server(READY),
        ]),
        [
            sent(&prepare, StepKind::Prepare, Some("SELECT $1")),
            Reply(vec![6]),
            sent(&execute, StepKind::Execute, Some("SELECT $1")),
            Reply(vec![6]),
            sent(&forget, StepKind::Other, None),
            Reply(vec![6]),
            sent(&execute, StepKind::Execute, Some("")),
            Reply(vec![6]),
            sent(SYNC, StepKind::Ping, None),
            Reply(vec![6]),
        ]
    );
}

#[test]
fn a_copy_is_a_request_and_its_data_another() {
    let copy = message::query("COPY t FROM STDIN");
    let take = message(b'G', b"\0\0\0");
    let data = [
        message(b'd', b"1\n"),
        message(b'd', b"2\n"),
        message(b'c', b""),
    ]
    .concat();
    let done = [message(b'C', b"COPY 2\0").as_slice(), READY].concat();
    let after = message::query("SELECT 1");
    assert_eq!(
        session(&[
            Client(&copy),
            Server(&take),
            Client(&data),
            Server(&done),
            Client(&after),
            Server(READY),
        ]),
        [
            sent(&copy, StepKind::Query, Some("COPY t FROM STDIN")),
            Reply(vec![take.len()]),
            sent(&data, StepKind::Other, None),
            Reply(vec![12, 6]),
            sent(&after, StepKind::Query, Some("SELECT 1")),
            Reply(vec![6]),
        ]
    );
}

#[test]
fn a_copy_of_a_prepared_statement_ends_with_the_sync_behind_its_data() {
    let copy = [
        message(b'P', b"\0COPY t FROM STDIN\0\0\0").as_slice(),
        &message(b'B', b"\0\0\0\0\0\0\0\0"),
        &message(b'E', b"\0\0\0\0\0"),
        SYNC,
    ]
    .concat();
    let take = message(b'G', b"\0\0\0");
    let data = [
        message(b'd', b"1\n").as_slice(),
        SYNC,
        &message(b'c', b""),
        SYNC,
    ]
    .concat();
    assert_eq!(
        session(&[Client(&copy), Server(&take), Client(&data), Server(READY)]),
        [
            sent(&copy, StepKind::Execute, Some("COPY t FROM STDIN")),
            Reply(vec![take.len()]),
            sent(&data, StepKind::Other, None),
            Reply(vec![6]),
        ]
    );
}

/// The server reads past what is left of the data.
#[test]
fn the_data_of_a_copy_that_failed_are_no_request() {
    let copy = message::query("COPY t FROM STDIN");
    let take = message(b'G', b"\0\0\0");
    let failed = [message(b'E', b"C22P02\0\0").as_slice(), READY].concat();
    let rest = [message(b'd', b"2\n"), message(b'c', b"")].concat();
    let after = message::query("SELECT 1");
    let observed = session(&[
        Client(&copy),
        Server(&take),
        Server(&failed),
        Client(&rest),
        Client(&after),
        Server(READY),
    ]);
    assert_eq!(
        observed[2..],
        [
            Unasked(13),
            Unasked(6),
            Observed::ClientMessage(ClientMessage::Unanswered(message(b'd', b"2\n"))),
            Observed::ClientMessage(ClientMessage::Unanswered(message(b'c', b""))),
            sent(&after, StepKind::Query, Some("SELECT 1")),
            Reply(vec![6]),
        ]
    );
}

#[test]
fn what_the_server_says_by_itself_ends_nothing() {
    let notice = message(b'A', b"\0\0\0\x01channel\0\0");
    let query = message::query("SELECT 1");
    let reply = [notice.as_slice(), READY].concat();
    assert_eq!(
        session(&[Server(&notice), Client(&query), Server(&reply)]),
        [
            Unasked(notice.len()),
            sent(&query, StepKind::Query, Some("SELECT 1")),
            Reply(vec![notice.len(), 6]),
        ]
    );
}

#[test]
fn a_flush_goes_on_and_the_request_with_it() {
    let parse = message(b'P', b"\0SELECT 1\0\0\0");
    let flush = message(b'H', b"");
    let first = [parse, flush].concat();
    let said = [first.as_slice(), SYNC].concat();
    let observed = session(&[Client(&said), Server(READY)]);
    assert_eq!(
        observed,
        [
            Observed::ClientMessage(ClientMessage::Unanswered(first)),
            sent(SYNC, StepKind::Prepare, Some("SELECT 1")),
            Reply(vec![6]),
        ]
    );
}

#[test]
fn a_cancel_request_passes() {
    let cancel = untyped(CANCEL_REQUEST, b"\0\0\0\x01\0\0\0\x02");
    assert_eq!(
        play(&mut Postgres::default(), &[Client(&cancel)], usize::MAX).unwrap(),
        [Observed::ClientMessage(ClientMessage::Unanswered(cancel))]
    );
}

#[test]
fn the_end_of_a_session_is_not_a_request() {
    assert_eq!(
        session(&[Client(message::TERMINATE)]),
        [Observed::ClientMessage(ClientMessage::Terminate)]
    );
}

#[test]
fn what_is_not_the_protocol_is_an_error() {
    let let_in = [LET_IN, READY].concat();
    let startup = startup();
    let hello = [Client(startup.as_slice()), Server(&let_in)];
    for wrong in [
        Client(b"GET / HTTP/1.1\r\n\r\n"),
        Client(b"Q\0\0\0\x03"),
        Client(b"Q\x7f\0\0\x05"),
        Client(b"\0\0\0\0\x04"),
        Client(b"q\0\0\0\x04"),
        Client(b"Q\0\0\0\x04"),
        Client(b"B\0\0\0\x06\0x"),
        Server(b"Z\0\0\0\x05?"),
        Server(b"Z\0\0\0\x04"),
        Server(b"w\0\0\0\x04"),
        Server(b"R\0\0\0\x05\0"),
        Server(b"E\0\0\0\x04"),
    ] {
        let lines = [hello.as_slice(), &[wrong]].concat();
        play(&mut Postgres::default(), &lines, usize::MAX).unwrap_err();
    }
    for wrong in [
        b"\0\0\0\x07\0\0\0".as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
        &untyped(131_072, b""),
    ] {
        play(&mut Postgres::default(), &[Client(wrong)], usize::MAX).unwrap_err();
    }
}

#[test]
fn garbage_does_no_harm() {
    let startup = startup();
    let let_in = [LET_IN, READY].concat();
    let prepared = [
        message(b'P', b"s1\0SELECT $1\0\0\0").as_slice(),
        &message(b'B', b"\0s1\0\0\0\0\0\0\0"),
        &message(b'E', b"\0\0\0\0\0"),
        SYNC,
    ]
    .concat();
    let take = message(b'G', b"\0\0\0");
    survive_garbage::<Postgres>(&[
        Client(&startup),
        Server(&let_in),
        Client(&prepared),
        Server(&take),
        Client(&message(b'd', b"1\n")),
    ]);
}
