//! Where a reply ends.

use super::packet::{Packet, number, short, variable};
use crate::fault_proxy::codec::{ProtocolError, ServerMessage};

/// What the server still has to say to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Awaited {
    #[default]
    Nothing,
    /// The client is let in, turned away, or asked something.
    Admission,
    /// One packet.
    One,
    /// OK, an error, or the number of columns; one for each statement.
    Result,
    /// That many columns.
    Columns(u64),
    /// The EOF between columns and rows.
    ColumnsEnd,
    Rows,
    /// The number of a prepared statement.
    Preparation,
    /// That many packets, on its parameters and columns.
    Definitions(u64),
}

/// What the session has to remember of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// The client is let in.
    Admitted,
    /// The number of the statement that was prepared.
    Prepared(u32),
}

#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) awaited: Awaited,
    pub(super) deprecates_eof: bool,
    pub(super) sqlstate: Option<[u8; 5]>,
    /// What the session has to remember of the last packet.
    pub(super) learned: Option<Learned>,
    /// The packet continues the one before it.
    continues: bool,
    /// What continues is the end of the reply.
    ends: bool,
}

const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const FAST_AUTHENTICATION: u8 = 0x03;
const LOCAL_INFILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
const ERROR: u8 = 0xff;

const MORE_RESULTS: u16 = 0x0008;
const CURSOR_EXISTS: u16 = 0x0040;

impl Reply {
    pub(super) fn next(&mut self, packet: &Packet<'_>) -> Result<ServerMessage, ProtocolError> {
        if !self.continues && self.awaited != Awaited::Nothing {
            let next = self.after(packet)?;
            self.ends = next == Awaited::Nothing;
            self.awaited = next;
        }
        self.continues = packet.is_continued();
        if self.continues || !self.ends {
            return Ok(ServerMessage::Message);
        }
        self.ends = false;
        Ok(ServerMessage::Last)
    }

    /// What is awaited once this packet is there.
    fn after(&mut self, packet: &Packet<'_>) -> Result<Awaited, ProtocolError> {
        let body = packet.body;
        let Some(&first) = body.first() else {
            // The first column of a row can't be missing altogether.
            return Err(ProtocolError("the server sent an empty packet"));
        };
        if first == ERROR && !matches!(self.awaited, Awaited::Columns(_) | Awaited::Definitions(_))
        {
            self.sqlstate = match body {
                [_, _, _, b'#', rest @ ..] => rest.first_chunk().copied(),
                _ => None,
            };
            return Ok(Awaited::Nothing);
        }
        Ok(match self.awaited {
            Awaited::Nothing | Awaited::One => Awaited::Nothing,
            Awaited::Admission => {
                self.learned = (first == OK).then_some(Learned::Admitted);
                match body {
                    [MORE_DATA, FAST_AUTHENTICATION] => Awaited::Admission,
                    _ => Awaited::Nothing,
                }
            }
            Awaited::Result => match first {
                OK => after_result(ok_status(body)?),
                LOCAL_INFILE => {
                    return Err(ProtocolError(
                        "LOAD DATA LOCAL can't be carried: load the data on the server, or by INSERT",
                    ));
                }
                _ => Awaited::Columns(variable(body)?.0),
            },
            Awaited::Columns(left) if left > 1 => Awaited::Columns(left - 1),
            Awaited::Columns(_) if self.deprecates_eof => Awaited::Rows,
            Awaited::Columns(_) => Awaited::ColumnsEnd,
            Awaited::ColumnsEnd => {
                let status = eof_status(body)?;
                if status & CURSOR_EXISTS == 0 {
                    Awaited::Rows
                } else {
                    after_result(status)
                }
            }
            Awaited::Rows if first == EOF && self.is_end(packet) => {
                after_result(if self.deprecates_eof {
                    ok_status(body)?
                } else {
                    eof_status(body)?
                })
            }
            Awaited::Rows => Awaited::Rows,
            Awaited::Preparation => {
                self.learned = Some(Learned::Prepared(number(&body[1..])?));
                definitions(self.definitions(body)?)
            }
            Awaited::Definitions(left) => definitions(left - 1),
        })
    }

    /// A row may begin with the same byte, as the length of a first column of 16 MiB and more.
    fn is_end(&self, packet: &Packet<'_>) -> bool {
        if self.deprecates_eof {
            !packet.is_continued()
        } else {
            packet.body.len() < 9
        }
    }

    /// How many packets follow on what a prepared statement takes and gives.
    fn definitions(&self, body: &[u8]) -> Result<u64, ProtocolError> {
        let short = |at: usize| short(body.get(at..).unwrap_or_default());
        let (columns, parameters) = (short(5)?, short(7)?);
        let packets = |count: u16| u64::from(count) + u64::from(count > 0 && !self.deprecates_eof);
        Ok(packets(columns) + packets(parameters))
    }
}

fn definitions(left: u64) -> Awaited {
    match left {
        0 => Awaited::Nothing,
        left => Awaited::Definitions(left),
    }
}

fn after_result(status: u16) -> Awaited {
    if status & MORE_RESULTS == 0 {
        Awaited::Nothing
    } else {
        Awaited::Result
    }
}

/// The status in an OK packet: behind two numbers.
fn ok_status(body: &[u8]) -> Result<u16, ProtocolError> {
    let (_, rest) = variable(&body[1..])?;
    let (_, rest) = variable(rest)?;
    short(rest)
}

/// The status in an EOF packet: behind the count of warnings.
fn eof_status(body: &[u8]) -> Result<u16, ProtocolError> {
    short(body.get(3..).unwrap_or_default())
}
