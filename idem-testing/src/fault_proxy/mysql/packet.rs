//! Packets: three bytes of length, a number, and a body; and the packets of the greeting.

use std::borrow::Cow;

use crate::fault_proxy::codec::ProtocolError;

pub(super) const QUIT: u8 = 0x01;
pub(super) const QUERY: u8 = 0x03;
pub(super) const FIELD_LIST: u8 = 0x04;
pub(super) const PROCESS_INFO: u8 = 0x0a;
pub(super) const PING: u8 = 0x0e;
pub(super) const CHANGE_USER: u8 = 0x11;
pub(super) const STMT_PREPARE: u8 = 0x16;
pub(super) const STMT_EXECUTE: u8 = 0x17;
pub(super) const STMT_SEND_LONG_DATA: u8 = 0x18;
pub(super) const STMT_CLOSE: u8 = 0x19;
pub(super) const STMT_FETCH: u8 = 0x1c;
pub(super) const RESET_CONNECTION: u8 = 0x1f;

/// The other commands with a reply: to choose, create and drop a database, refresh, shutdown,
/// statistics, `PROCESS_INFO`, kill, debug, reset of a statement, `SET_OPTION`, and those above.
pub(super) const ANSWERED: &[u8] = &[
    0x02,
    FIELD_LIST,
    0x05,
    0x06,
    0x07,
    0x08,
    0x09,
    PROCESS_INFO,
    0x0c,
    0x0d,
    0x1a,
    0x1b,
    STMT_FETCH,
    RESET_CONNECTION,
];

/// The body of a packet that is continued in the next one.
const FULL: usize = 0xff_ffff;

/// One packet as it lies on the proxy.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) body: &'a [u8],
    /// With its header.
    pub(super) length: usize,
}

impl<'a> Packet<'a> {
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let &[a, b, c, _] = bytes.first_chunk()?;
        let length = 4 + usize::from(a) + (usize::from(b) << 8) + (usize::from(c) << 16);
        let body = bytes.get(4..length)?;
        Some(Self { body, length })
    }

    pub(super) fn is_continued(&self) -> bool {
        self.body.len() == FULL
    }
}

/// A packet with all that continues it: the bytes that they take, and the body.
pub(super) fn whole(bytes: &[u8]) -> Option<(usize, Cow<'_, [u8]>)> {
    let first = Packet::first(bytes)?;
    let mut length = first.length;
    let mut body = Cow::Borrowed(first.body);
    let mut continued = first.is_continued();
    while continued {
        let next = Packet::first(&bytes[length..])?;
        length += next.length;
        body.to_mut().extend_from_slice(next.body);
        continued = next.is_continued();
    }
    Some((length, body))
}

/// A command of the client's.
pub(super) fn command(command: u8, body: &[u8]) -> Vec<u8> {
    let body = [&[command], body].concat();
    let mut bytes = Vec::with_capacity(body.len() + 4);
    let mut number = 0_u8;
    let mut chunks = body
        .chunks(FULL)
        .chain(body.len().is_multiple_of(FULL).then_some([].as_slice()));
    loop {
        let Some(chunk) = chunks.next() else {
            return bytes;
        };
        let length = u32::try_from(chunk.len()).unwrap_or(0).to_le_bytes();
        bytes.extend_from_slice(&length[..3]);
        bytes.push(number);
        bytes.extend_from_slice(chunk);
        number = number.wrapping_add(1);
    }
}

const SHORT: ProtocolError = ProtocolError("a packet is shorter than its fields");

pub(super) fn number(bytes: &[u8]) -> Result<u32, ProtocolError> {
    let field = bytes.first_chunk().ok_or(SHORT)?;
    Ok(u32::from_le_bytes(*field))
}

pub(super) fn short(bytes: &[u8]) -> Result<u16, ProtocolError> {
    let field = bytes.first_chunk().ok_or(SHORT)?;
    Ok(u16::from_le_bytes(*field))
}

/// A number of one to nine bytes, and what follows it.
pub(super) fn variable(bytes: &[u8]) -> Result<(u64, &[u8]), ProtocolError> {
    let (&first, rest) = bytes.split_first().ok_or(SHORT)?;
    let length = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xfb | 0xff => {
            return Err(ProtocolError(
                "a packet has something else in place of a number",
            ));
        }
        small => return Ok((small.into(), rest)),
    };
    let (field, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
    let mut number = [0; 8];
    number[..length].copy_from_slice(field);
    Ok((u64::from_le_bytes(number), rest))
}

const MYSQL: u32 = 1;
const COMPRESS: u32 = 1 << 5;
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const DEPRECATE_EOF: u32 = 1 << 24;
const OPTIONAL_METADATA: u32 = 1 << 25;
const ZSTD: u32 = 1 << 26;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// What a server may offer and what can't be read on its way, or changes how the rest is read.
const NOT_OFFERED: u32 = COMPRESS | LOCAL_FILES | TLS | OPTIONAL_METADATA | ZSTD | QUERY_ATTRIBUTES;

/// The server's greeting without the offers that can't be taken up here. `None`: it is an error, as
/// when there are too many connections.
pub(super) fn greeting(body: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
    match body.first() {
        Some(0xff) => return Ok(None),
        Some(10) => {}
        _ => {
            return Err(ProtocolError(
                "the server's greeting is not that of MySQL's protocol, version 10",
            ));
        }
    }
    let mut greeting = body.to_vec();
    let version = body.iter().position(|byte| *byte == 0).ok_or(SHORT)?;
    // Behind the version: the connection's number, eight bytes of a challenge, a zero; then the
    // offers, in two halves.
    let offers = version + 1 + 4 + 8 + 1;
    let field = greeting.get_mut(offers..).ok_or(SHORT)?;
    let [low_0, low_1, _, _, _, high_0, high_1, _, rest @ ..] = field else {
        return Err(SHORT);
    };
    let offered = u32::from_le_bytes([*low_0, *low_1, *high_0, *high_1]);
    if offered & PROTOCOL_41 == 0 {
        return Err(ProtocolError("the server is older than MySQL 4.1"));
    }
    let kept = offered & !NOT_OFFERED;
    [*low_0, *low_1, *high_0, *high_1] = kept.to_le_bytes();
    // MariaDB's own offers, in what is reserved elsewhere.
    if let Some(own) = rest.get_mut(6..10)
        && offered & MYSQL == 0
    {
        own.fill(0);
    }
    Ok(Some(greeting))
}

/// Whether the client that logs in with this packet wants result sets without an EOF packet.
pub(super) fn login(body: &[u8]) -> Result<bool, ProtocolError> {
    let wanted = number(body)?;
    if wanted & TLS != 0 {
        return Err(ProtocolError(
            "the client asks for TLS, which can't be read: connect with ssl-mode=DISABLED",
        ));
    }
    if wanted & PROTOCOL_41 == 0 || wanted & NOT_OFFERED & !LOCAL_FILES != 0 {
        return Err(ProtocolError(
            "the client wants what the server was not said to offer",
        ));
    }
    Ok(wanted & DEPRECATE_EOF != 0)
}
