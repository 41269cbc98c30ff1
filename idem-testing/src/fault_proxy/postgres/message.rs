//! The messages themselves: a type, a length, and fields.

use crate::fault_proxy::codec::ProtocolError;

/// The length of a `ReadyForQuery`.
pub(super) const READY_FOR_QUERY: usize = 6;

pub(super) const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// The types that a server sends and that nothing follows from here.
pub(super) const FROM_SERVER: &[u8] = b"123ACDHIKNSTVcdnstv";

/// The server's own limit: no message has a gigabyte.
const LONGEST: usize = 0x3fff_ffff;
const LONGEST_STARTUP: usize = 10_000;

#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
    /// All of it.
    pub(super) bytes: &'a [u8],
}

/// A message that begins with its type.
pub(super) fn typed(bytes: &[u8]) -> Result<Option<Message<'_>>, ProtocolError> {
    let Some((&kind, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if !kind.is_ascii_alphanumeric() {
        return Err(ProtocolError("what passes is not PostgreSQL's protocol"));
    }
    let Some(length) = length(rest, 4, LONGEST)? else {
        return Ok(None);
    };
    Ok(rest.get(..length).map(|message| Message {
        kind,
        body: &message[4..],
        bytes: &bytes[..=length],
    }))
}

/// The length and the code of a message that has no type: the first of a connection.
pub(super) fn startup_code(bytes: &[u8]) -> Result<Option<(usize, u32)>, ProtocolError> {
    let Some(length) = length(bytes, 8, LONGEST_STARTUP)? else {
        return Ok(None);
    };
    bytes
        .get(4..length)
        .map(|body| Ok((length, Fields(body).number()?)))
        .transpose()
}

fn length(bytes: &[u8], least: usize, most: usize) -> Result<Option<usize>, ProtocolError> {
    let Some(field) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*field)).unwrap_or(usize::MAX);
    if length < least || length > most {
        return Err(ProtocolError("the length of a message is impossible"));
    }
    Ok(Some(length))
}

/// What is left of a message to be read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

const SHORT: ProtocolError = ProtocolError("a message is shorter than its fields");

impl Fields<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, ProtocolError> {
        let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u32, ProtocolError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// Up to the next zero.
    pub(super) fn name(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(SHORT)?;
        let name = self.0[..end].to_vec();
        self.0 = &self.0[end + 1..];
        Ok(name)
    }

    pub(super) fn text(&mut self) -> Result<String, ProtocolError> {
        let name = self.name()?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Out of the fields of an `ErrorResponse`.
    pub(super) fn sqlstate(&mut self) -> Result<Option<[u8; 5]>, ProtocolError> {
        loop {
            match self.byte()? {
                0 => return Ok(None),
                b'C' => return Ok(self.name()?.try_into().ok()),
                _ => drop(self.name()?),
            }
        }
    }
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    let length = u32::try_from(sql.len() + 5).unwrap_or(u32::MAX);
    [b"Q".as_slice(), &length.to_be_bytes(), sql.as_bytes(), &[0]].concat()
}
