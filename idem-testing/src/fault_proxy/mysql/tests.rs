use super::*;
use crate::fault_proxy::codec::tests::Line::{Client, Server};
use crate::fault_proxy::codec::tests::Observed::{Reply, Unasked};
use crate::fault_proxy::codec::tests::{Line, Observed, play, play_in_pieces, survive_garbage};

mod injected_error;

const PROTOCOL_41: u32 = 1 << 9;
const DEPRECATE_EOF: u32 = 1 << 24;

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], body].concat()
}

fn packets(bodies: &[&[u8]]) -> Vec<u8> {
    let numbered = bodies.iter().zip(1_u8..);
    numbered
        .flat_map(|(body, number)| packet(number, body))
        .collect()
}

/// A greeting that offers this, and of MariaDB's own offers that.
fn greeting(offers: u32, own: u32) -> Vec<u8> {
    let offers = offers.to_le_bytes();
    let body = [
        b"\x0a10.11\0".as_slice(),
        &[1, 0, 0, 0],
        b"12345678\0",
        &offers[..2],
        &[45, 2, 0],
        &offers[2..],
        &[21, 0, 0, 0, 0, 0, 0],
        &own.to_le_bytes(),
        b"123456789012\0mysql_native_password\0",
    ];
    packet(0, &body.concat())
}

fn login(wants: u32) -> Vec<u8> {
    packet(
        1,
        &[wants.to_le_bytes().as_slice(), &[0; 28], b"root\0\0"].concat(),
    )
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const OK_AND_MORE: &[u8] = &[0, 1, 0, 10, 0, 0, 0];
/// The end of rows, in the form of an OK.
const END: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
const END_AND_MORE: &[u8] = &[0xfe, 0, 0, 10, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const EOF_AND_MORE: &[u8] = &[0xfe, 0, 0, 10, 0];
const ERROR: &[u8] = b"\xff\xbd\x04#40001Deadlock";

fn sent(bytes: &[u8], kind: StepKind, sql: Option<&str>) -> Observed {
    Observed::ClientMessage(ClientMessage::Request(Request {
        bytes: bytes.to_vec(),
        kind,
        sql: sql.map(Into::into),
    }))
}

/// What a session hears after it was let in.
fn session(wants: u32, lines: &[Line<'_>]) -> Vec<Observed> {
    let (greeting, login) = (
        greeting(PROTOCOL_41 | DEPRECATE_EOF, 0),
        login(PROTOCOL_41 | wants),
    );
    let let_in = packet(2, OK);
    let all = [&[Server(&greeting), Client(&login), Server(&let_in)], lines].concat();
    play_in_pieces::<MySql>(&all).split_off(3)
}

/// The lengths of the packets of the reply to a command.
fn reply(wants: u32, command: &[u8], bodies: &[&[u8]]) -> Vec<Observed> {
    let command = packet(0, command);
    session(wants, &[Client(&command), Server(&packets(bodies))]).split_off(1)
}

/// One reply of these packets, and nothing is left over.
fn whole(bodies: &[&[u8]]) -> Vec<Observed> {
    vec![Reply(bodies.iter().map(|body| body.len() + 4).collect())]
}

#[test]
fn what_cannot_be_read_is_not_offered() {
    let offered = greeting(0xffff_ffff, 0xff);
    let observed = play_in_pieces::<MySql>(&[Server(&offered)]);
    // Of a MySQL, what is MariaDB's own is left alone.
    let kept = greeting(!(1 << 5 | 1 << 7 | 1 << 11 | 7 << 25), 0xff);
    assert_eq!(observed, [Observed::Edited(kept)]);

    let offered = greeting(0xffff_fffe, 0xff);
    let observed = play_in_pieces::<MySql>(&[Server(&offered)]);
    let kept = greeting(0xffff_fffe & !(1 << 5 | 1 << 7 | 1 << 11 | 7 << 25), 0);
    assert_eq!(observed, [Observed::Edited(kept)]);
}

#[test]
fn each_packet_of_a_login_that_waits_for_the_client_ends_a_reply() {
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41));
    let switch = packet(2, b"\xfecaching_sha2_password\0challenge\0");
    let answer = packet(3, b"hash");
    let ask = packet(4, &[1, 4]);
    let password = packet(5, b"secret\0");
    let let_in = packet(6, OK);
    let query = packet(0, b"\x03SELECT 1");
    let observed = play_in_pieces::<MySql>(&[
        Server(&greeting),
        Client(&login),
        Server(&switch),
        Client(&answer),
        Server(&ask),
        Client(&password),
        Server(&let_in),
        Client(&query),
    ]);
    assert_eq!(
        observed[1..],
        [
            sent(&login, StepKind::Handshake, None),
            Reply(vec![switch.len()]),
            sent(&answer, StepKind::Handshake, None),
            Reply(vec![ask.len()]),
            sent(&password, StepKind::Handshake, None),
            Reply(vec![let_in.len()]),
            sent(&query, StepKind::Query, Some("SELECT 1")),
        ]
    );
}

#[test]
fn a_password_that_is_known_is_answered_by_two_packets() {
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41));
    let let_in = [packet(2, &[1, 3]), packet(3, OK)].concat();
    let observed = play_in_pieces::<MySql>(&[Server(&greeting), Client(&login), Server(&let_in)]);
    assert_eq!(observed[2..], [Reply(vec![6, 11])]);
}

#[test]
fn who_is_turned_away_has_a_whole_reply() {
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41));
    let no = packet(2, ERROR);
    let observed = play_in_pieces::<MySql>(&[Server(&greeting), Client(&login), Server(&no)]);
    assert_eq!(observed[2..], [Reply(vec![no.len()])]);
    let observed = play_in_pieces::<MySql>(&[Server(&packet(0, ERROR))]);
    assert_eq!(observed, [Unasked(no.len())]);
}

#[test]
fn the_end_of_rows_ends_a_reply_in_either_form() {
    let rows: &[&[u8]] = &[
        &[2],
        b"first",
        b"second",
        b"\x01a\x01b",
        &[0, 0],
        &[0xfb, 0xfb],
    ];
    let command = b"\x03SELECT * FROM t";
    for end in [END, ERROR] {
        let new = [rows, &[end]].concat();
        assert_eq!(reply(DEPRECATE_EOF, command, &new), whole(&new));
        let old = [
            &rows[..3],
            &[EOF],
            &rows[3..],
            &[if end == END { EOF } else { end }],
        ]
        .concat();
        assert_eq!(reply(0, command, &old), whole(&old));
    }
}

#[test]
fn a_reply_goes_on_while_there_are_more_results() {
    let command = b"\x03CALL p(); SELECT 1";
    let new: &[&[u8]] = &[
        OK_AND_MORE,
        &[1],
        b"column",
        b"\x01a",
        END_AND_MORE,
        OK_AND_MORE,
        &[1],
        b"c",
        END,
    ];
    assert_eq!(reply(DEPRECATE_EOF, command, new), whole(new));
    let old: &[&[u8]] = &[&[1], b"column", EOF, b"\x01a", EOF_AND_MORE, OK];
    assert_eq!(reply(0, command, old), whole(old));
    // What comes after an error is not executed.
    let failed: &[&[u8]] = &[OK_AND_MORE, ERROR];
    assert_eq!(reply(DEPRECATE_EOF, command, failed), whole(failed));
}

#[test]
fn a_row_may_look_like_the_end() {
    let command = b"\x03SELECT repeat('x', 16777216)";
    // A first column of 16 MiB and more: its length stands in eight bytes, and a full packet is
    // continued.
    let mut full = vec![b'x'; 0xff_ffff];
    full[..9].copy_from_slice(&[0xfe, 0, 0, 0, 1, 0, 0, 0, 0]);
    let rest = vec![b'x'; 20];
    let bodies: &[&[u8]] = &[&[1], b"column", &full, &rest, END];
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41 | DEPRECATE_EOF));
    let lines = [
        Server(&greeting),
        Client(&login),
        Server(&packet(2, OK)),
        Client(&packet(0, command)),
        Server(&packets(bodies)),
    ];
    let observed = play(&mut MySql::default(), &lines, 1 << 20).unwrap();
    assert_eq!(observed[4..], whole(bodies));
}

#[test]
fn a_request_may_take_several_packets() {
    let sql = "x".repeat(2 * 0xff_ffff - 1);
    let request = query(&sql);
    assert_eq!(request.bytes.len(), sql.len() + 1 + 3 * 4);
    let (greeting, login) = (greeting(PROTOCOL_41, 0), login(PROTOCOL_41));
    let lines = [
        Server(&greeting),
        Client(&login),
        Server(&packet(2, OK)),
        Client(&request.bytes),
    ];
    let observed = play(&mut MySql::default(), &lines, 1 << 22).unwrap();
    assert!(observed[3..] == [Observed::ClientMessage(ClientMessage::Request(request))]);
}

#[test]
fn a_prepared_statement_tells_its_sql_when_it_is_executed() {
    let prepare = packet(0, b"\x16INSERT INTO t VALUES (?, ?)");
    let execute = packet(0, &[0x17, 7, 0, 0, 0, 0, 1, 0, 0, 0]);
    let close = packet(0, &[0x19, 7, 0, 0, 0]);
    let prepared: &[u8] = &[0, 7, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    for (wants, reply) in [
        (DEPRECATE_EOF, vec![prepared, b"a", b"b", b"column"]),
        (0, vec![prepared, b"a", b"b", EOF, b"column", EOF]),
    ] {
        let observed = session(
            wants,
            &[
                Client(&prepare),
                Server(&packets(&reply)),
                Client(&execute),
                Server(&packet(1, OK)),
                Client(&close),
                Client(&execute),
                Server(&packet(1, ERROR)),
            ],
        );
        let sql = Some("INSERT INTO t VALUES (?, ?)");
        let mut expected = vec![sent(&prepare, StepKind::Prepare, sql)];
        expected.extend(whole(&reply));
        expected.extend([
            sent(&execute, StepKind::Execute, sql),
            Reply(vec![11]),
            Observed::ClientMessage(ClientMessage::Unanswered(close.clone())),
            sent(&execute, StepKind::Execute, None),
            Reply(vec![ERROR.len() + 4]),
        ]);
        assert_eq!(observed, expected);
    }
}

#[test]
fn a_statement_without_parameters_and_columns_is_prepared_by_one_packet() {
    let prepared: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for wants in [0, DEPRECATE_EOF] {
        assert_eq!(reply(wants, b"\x16COMMIT", &[prepared]), whole(&[prepared]));
        assert_eq!(reply(wants, b"\x16COMMIT", &[ERROR]), whole(&[ERROR]));
    }
}

#[test]
fn a_cursor_has_its_rows_fetched() {
    let opened: &[&[u8]] = &[&[1], b"column", &[0xfe, 0, 0, 0x42, 0]];
    let rows: &[&[u8]] = &[&[0, 0, 1], EOF];
    assert_eq!(
        reply(0, &[0x17, 1, 0, 0, 0, 1, 1, 0, 0, 0], opened),
        whole(opened)
    );
    assert_eq!(reply(0, &[0x1c, 1, 0, 0, 0, 5, 0, 0, 0], rows), whole(rows));
}

#[test]
fn other_commands_are_answered_by_one_packet() {
    for (command, kind) in [
        (&b"\x0e"[..], StepKind::Ping),
        (b"\x02database", StepKind::Other),
        (b"\x09", StepKind::Other),
        (b"\x1f", StepKind::Other),
        (b"\x1a\x01\0\0\0", StepKind::Other),
    ] {
        let command = packet(0, command);
        let observed = session(0, &[Client(&command), Server(&packet(1, OK))]);
        assert_eq!(observed, [sent(&command, kind, None), Reply(vec![11])]);
    }
}

#[test]
fn the_end_of_a_session_is_not_a_request() {
    assert_eq!(
        session(0, &[Client(&packet(0, b"\x01"))]),
        [Observed::ClientMessage(ClientMessage::Terminate)]
    );
}

#[test]
fn what_is_not_the_protocol_is_an_error() {
    let (hello, let_in) = (greeting(PROTOCOL_41, 0), packet(2, OK));
    let login_in = login(PROTOCOL_41);
    let query = packet(0, b"\x03SELECT 1");
    let known = [
        Server(hello.as_slice()),
        Client(&login_in),
        Server(&let_in),
        Client(&query),
    ];
    for (after, wrong) in [
        (0, Client(query.as_slice())),
        (0, Server(b"\x04\0\0\0SSH-")),
        (0, Server(&packet(0, b"\x0a10.11\0short"))),
        (0, Server(&greeting(1, 0))),
        (1, Client(&login(PROTOCOL_41 | 1 << 11))),
        (1, Client(&login(PROTOCOL_41 | 1 << 5))),
        (1, Client(&login(0))),
        (1, Client(&packet(1, b""))),
        (3, Client(&packet(0, b""))),
        (3, Client(&packet(0, b"\x12"))),
        (3, Client(&packet(0, b"\xf0"))),
        (3, Client(&packet(0, b"\x17\0"))),
        (4, Server(&packet(1, b""))),
        (4, Server(&packet(1, b"\xfbfile.csv"))),
        (4, Server(&packet(1, b"\0\xfc\0"))),
        (4, Server(&packet(1, b"\xfd\0"))),
    ] {
        let lines = [&known[..after], &[wrong]].concat();
        play(&mut MySql::default(), &lines, usize::MAX).unwrap_err();
    }
}

#[test]
fn garbage_does_no_harm() {
    let prepared: &[u8] = &[0, 7, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    survive_garbage::<MySql>(&[
        Server(&greeting(PROTOCOL_41, 0)),
        Client(&login(PROTOCOL_41)),
        Server(&packet(2, OK)),
        Client(&packet(0, b"\x16SELECT ?")),
        Server(&packets(&[prepared, b"a", b"b", EOF, b"column", EOF])),
        Client(&packet(0, &[0x17, 7, 0, 0, 0, 0, 1, 0, 0, 0])),
        Server(&packets(&[&[1], b"column", EOF])),
    ]);
}
