//! PostgreSQL's protocol, version 3.
//!
//! A request ends where the server comes to answer: at Query, Sync, `FunctionCall`, at the end of a
//! COPY's data, and at each message of the startup. Its reply ends with `ReadyForQuery`, or where
//! the server waits for more: for a password, for a COPY's data.

mod group;
mod injected_error;
mod message;

use std::collections::HashMap;

use self::group::Group;
use self::injected_error::{DEADLOCK, ROLLBACK, SERIALIZATION_FAILURE};
use self::message::{Fields, Message, startup_code, typed};
use super::codec::{
    ClientMessage, Codec, Decoded, ProtocolError, Request, ServerMessage, SessionEnd, Substitute,
};
use super::failing_statement::failing_statement;
use super::sql_batch::{Dialect, statements};
use super::step::{InjectedError, StepKind};

/// One session, from the startup on.
#[derive(Debug, Default)]
pub(super) struct Postgres {
    phase: Phase,
    awaiting: bool,
    /// The request that is answered came as Query, not by the extended protocol.
    simple: bool,
    /// As `ReadyForQuery` tells it: idle, in a transaction, or in one that is aborted.
    status: Status,
    sqlstate: Option<[u8; 5]>,
    group: Group,
    /// The SQL of each prepared statement, and of each portal.
    prepared: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Startup,
    Authenticating,
    Ready,
    /// The server takes the data of a COPY. `ended`: the client has said that this is all.
    CopyIn {
        ended: bool,
    },
    /// A cancel request, or replication: nothing is read in it.
    Opaque,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Transaction,
    Aborted,
}

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

impl Codec for Postgres {
    fn sent(&mut self, bytes: &[u8]) -> Decoded<ClientMessage> {
        match self.phase {
            Phase::Startup => self.started(bytes),
            Phase::Opaque if bytes.is_empty() => Ok(None),
            Phase::Opaque => Ok(Some((
                bytes.len(),
                ClientMessage::Unanswered(bytes.to_vec()),
            ))),
            _ => {
                let Some(message) = typed(bytes)? else {
                    return Ok(None);
                };
                let sent = match self.phase {
                    Phase::CopyIn { ended } => self.copied(&message, ended)?,
                    phase => self.commanded(&message, phase)?,
                };
                Ok(Some((message.bytes.len(), sent)))
            }
        }
    }

    fn expect(&mut self, request: &Request) {
        self.awaiting = true;
        self.simple = request.kind == StepKind::Query;
        self.sqlstate = None;
        if self.phase == Phase::Startup {
            self.phase = Phase::Authenticating;
        }
    }

    fn received(&mut self, bytes: &[u8]) -> Decoded<ServerMessage> {
        if self.phase == Phase::Opaque {
            let all = (!bytes.is_empty()).then_some((bytes.len(), ServerMessage::Message));
            return Ok(all);
        }
        let Some(message) = typed(bytes)? else {
            return Ok(None);
        };
        let ends = self.answered(&message)?;
        let received = if ends && self.awaiting {
            self.awaiting = false;
            ServerMessage::Last
        } else {
            ServerMessage::Message
        };
        Ok(Some((message.bytes.len(), received)))
    }

    fn substitute(&self, request: &Request, error: InjectedError) -> Option<Substitute> {
        if self.phase != Phase::Ready {
            return None;
        }
        let sql = request.sql.as_deref()?;
        let statements = statements(sql, Dialect::Postgres);
        let mut failing = failing_statement(&statements, error, self.status == Status::Aborted)?;
        match request.kind {
            StepKind::Query => {}
            StepKind::Execute => failing.at = 0,
            StepKind::Prepare if self.status != Status::Aborted => {
                failing.at = 0;
                failing.ends = false;
            }
            _ => return None,
        }
        let (raise, sqlstate) = match error {
            InjectedError::SerializationFailure => (SERIALIZATION_FAILURE, *b"40001"),
            InjectedError::Deadlock => (DEADLOCK, *b"40P01"),
        };
        Some(Substitute {
            instead: query(&format!("{}{raise}", &sql[..failing.at])),
            sqlstate,
            undo: failing.ends.then(|| query(ROLLBACK)),
        })
    }

    fn sqlstate(&self) -> Option<[u8; 5]> {
        self.sqlstate
    }

    fn tail(&self) -> usize {
        message::READY_FOR_QUERY
    }

    fn session_end(&self) -> SessionEnd {
        if self.phase != Phase::Ready || self.awaiting {
            return SessionEnd::default();
        }
        SessionEnd {
            reset: (self.status != Status::Idle).then(|| query(ROLLBACK)),
            terminate: message::TERMINATE.to_vec(),
        }
    }
}

impl Postgres {
    fn started(&mut self, bytes: &[u8]) -> Decoded<ClientMessage> {
        let Some((length, code)) = startup_code(bytes)? else {
            return Ok(None);
        };
        let own = || bytes[..length].to_vec();
        let sent = match code {
            // No: what follows must be in the clear.
            SSL_REQUEST | GSS_REQUEST => ClientMessage::AnsweredHere(b"N"),
            CANCEL_REQUEST => {
                self.phase = Phase::Opaque;
                ClientMessage::Unanswered(own())
            }
            _ if code >> 16 == 3 => ClientMessage::Request(Request {
                bytes: own(),
                kind: StepKind::Handshake,
                sql: None,
            }),
            _ => {
                return Err(ProtocolError(
                    "the client speaks another version of the protocol than 3",
                ));
            }
        };
        Ok(Some((length, sent)))
    }

    fn commanded(
        &mut self,
        message: &Message<'_>,
        phase: Phase,
    ) -> Result<ClientMessage, ProtocolError> {
        if phase == Phase::Authenticating {
            return match message.kind {
                b'p' => Ok(ClientMessage::Request(Request {
                    bytes: message.bytes.to_vec(),
                    kind: StepKind::Handshake,
                    sql: None,
                })),
                b'X' => Ok(ClientMessage::Terminate),
                _ => Err(ProtocolError(
                    "the client sent a command before it was let in",
                )),
            };
        }
        self.remember(message)?;
        self.group.add(message);
        let request = |group: Group| Ok(ClientMessage::Request(group.close()));
        match message.kind {
            b'P' | b'B' | b'D' | b'E' | b'C' => Ok(ClientMessage::Part),
            b'Q' | b'S' | b'F' => request(std::mem::take(&mut self.group)),
            // Flush asks for what there is of a reply, and the request goes on; the rest of a COPY
            // that has failed is read past.
            b'H' | b'd' | b'c' | b'f' => Ok(ClientMessage::Unanswered(std::mem::take(
                &mut self.group.bytes,
            ))),
            b'X' => Ok(ClientMessage::Terminate),
            _ => Err(ProtocolError(
                "the client sent a message of an unknown type",
            )),
        }
    }

    /// Keeps what later messages refer to by name.
    fn remember(&mut self, message: &Message<'_>) -> Result<(), ProtocolError> {
        let mut fields = Fields(message.body);
        match message.kind {
            b'Q' => self.group.run(fields.text()?),
            b'P' => {
                let name = fields.name()?;
                let sql = fields.text()?;
                self.group.prepare(&sql);
                self.prepared.insert(name, sql);
            }
            b'B' => {
                let (portal, name) = (fields.name()?, fields.name()?);
                let sql = self.prepared.get(&name).cloned().unwrap_or_default();
                self.portals.insert(portal, sql);
            }
            b'E' => {
                let sql = self.portals.get(&fields.name()?).cloned();
                self.group.execute(sql.unwrap_or_default());
            }
            b'C' => {
                let of = fields.byte()?;
                let name = fields.name()?;
                match of {
                    b'S' => self.prepared.remove(&name),
                    _ => self.portals.remove(&name),
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn copied(
        &mut self,
        message: &Message<'_>,
        ended: bool,
    ) -> Result<ClientMessage, ProtocolError> {
        self.group.add(message);
        match message.kind {
            b'c' | b'f' if self.simple => {}
            b'c' | b'f' => {
                self.phase = Phase::CopyIn { ended: true };
                return Ok(ClientMessage::Part);
            }
            b'S' if ended => {}
            // A Sync amid the data goes by unheeded.
            b'd' | b'H' | b'S' => return Ok(ClientMessage::Part),
            b'X' => return Ok(ClientMessage::Terminate),
            _ => return Err(ProtocolError("the client sent a command amid a COPY")),
        }
        Ok(ClientMessage::Request(
            std::mem::take(&mut self.group).close(),
        ))
    }

    /// Whether the reply ends with this message.
    fn answered(&mut self, message: &Message<'_>) -> Result<bool, ProtocolError> {
        let mut fields = Fields(message.body);
        match message.kind {
            b'Z' => {
                self.status = match fields.byte()? {
                    b'I' => Status::Idle,
                    b'T' => Status::Transaction,
                    b'E' => Status::Aborted,
                    _ => return Err(ProtocolError("the server is in an unknown state")),
                };
                self.phase = Phase::Ready;
                Ok(true)
            }
            b'R' => {
                const OK: u32 = 0;
                const SASL_FINAL: u32 = 12;
                Ok(!matches!(fields.number()?, OK | SASL_FINAL))
            }
            b'E' => {
                self.sqlstate = fields.sqlstate()?;
                if let Phase::CopyIn { .. } = self.phase {
                    self.phase = Phase::Ready;
                }
                Ok(self.phase == Phase::Authenticating)
            }
            b'G' => {
                self.phase = Phase::CopyIn { ended: false };
                Ok(true)
            }
            b'W' => {
                self.phase = Phase::Opaque;
                Ok(true)
            }
            kind if message::FROM_SERVER.contains(&kind) => Ok(false),
            _ => Err(ProtocolError(
                "the server sent a message of an unknown type",
            )),
        }
    }
}

fn query(sql: &str) -> Request {
    Request {
        bytes: message::query(sql),
        kind: StepKind::Query,
        sql: Some(sql.into()),
    }
}

#[cfg(test)]
mod tests;
