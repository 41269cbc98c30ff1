//! MySQL's and MariaDB's protocol.
//!
//! A request is one packet of the client, with what continues it. Where its reply ends depends on
//! what was asked: see [`reply`].

mod injected_error;
mod packet;
mod reply;

use std::collections::HashMap;

use self::injected_error::{DEADLOCK, ROLLBACK};
use self::packet::Packet;
use self::reply::{Awaited, Learned, Reply};
use super::codec::{
    ClientMessage, Codec, Decoded, ProtocolError, Request, ServerMessage, SessionEnd, Substitute,
};
use super::failing_statement::failing_statement;
use super::sql_batch::{Dialect, statements};
use super::step::{InjectedError, StepKind};

/// One session, from the server's greeting on.
#[derive(Debug, Default)]
pub(super) struct MySql {
    phase: Phase,
    reply: Reply,
    /// What is being prepared, until the server names it.
    preparing: Option<String>,
    /// The SQL of each prepared statement.
    prepared: HashMap<u32, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The server speaks first.
    #[default]
    Greeting,
    /// The client says who it is.
    Login,
    Authenticating,
    Ready,
}

impl Codec for MySql {
    fn sent(&mut self, bytes: &[u8]) -> Decoded<ClientMessage> {
        let Some((length, body)) = packet::whole(bytes) else {
            return Ok(None);
        };
        let own = || bytes[..length].to_vec();
        let sent = match self.phase {
            Phase::Greeting => {
                return Err(ProtocolError(
                    "the client spoke before the server's greeting",
                ));
            }
            Phase::Login => {
                self.reply.deprecates_eof = packet::login(&body)?;
                ClientMessage::Request(Request {
                    bytes: own(),
                    kind: StepKind::Handshake,
                    sql: None,
                })
            }
            Phase::Authenticating => ClientMessage::Request(Request {
                bytes: own(),
                kind: StepKind::Handshake,
                sql: None,
            }),
            Phase::Ready => self.commanded(own(), &body)?,
        };
        Ok(Some((length, sent)))
    }

    fn expect(&mut self, request: &Request) {
        self.reply.sqlstate = None;
        self.reply.awaited = match (self.phase, request.bytes.get(4)) {
            (Phase::Login, _) => {
                self.phase = Phase::Authenticating;
                Awaited::Admission
            }
            (Phase::Greeting | Phase::Authenticating, _) => Awaited::Admission,
            (Phase::Ready, command) => match command {
                Some(&packet::QUERY | &packet::STMT_EXECUTE | &packet::PROCESS_INFO) => {
                    Awaited::Result
                }
                Some(&packet::STMT_PREPARE) => {
                    self.preparing.clone_from(&request.sql);
                    Awaited::Preparation
                }
                Some(&packet::STMT_FETCH | &packet::FIELD_LIST) => Awaited::Rows,
                Some(&packet::CHANGE_USER) => {
                    self.prepared.clear();
                    self.phase = Phase::Authenticating;
                    Awaited::Admission
                }
                Some(&packet::RESET_CONNECTION) => {
                    self.prepared.clear();
                    Awaited::One
                }
                _ => Awaited::One,
            },
        };
    }

    fn received(&mut self, bytes: &[u8]) -> Decoded<ServerMessage> {
        let Some(packet) = Packet::first(bytes) else {
            return Ok(None);
        };
        let received = if self.phase == Phase::Greeting {
            let greeting = packet::greeting(packet.body)?;
            self.phase = Phase::Login;
            greeting.map_or(ServerMessage::Message, |body| {
                ServerMessage::Edited([&bytes[..4], &body].concat())
            })
        } else {
            let received = self.reply.next(&packet)?;
            match self.reply.learned.take() {
                None => {}
                Some(Learned::Admitted) => self.phase = Phase::Ready,
                Some(Learned::Prepared(id)) => {
                    let sql = self.preparing.take().unwrap_or_default();
                    self.prepared.insert(id, sql);
                }
            }
            received
        };
        Ok(Some((packet.length, received)))
    }

    /// The error rolls the whole transaction back, and `autocommit` stays as it was. MySQL has one
    /// error number for both.
    fn substitute(&self, request: &Request, error: InjectedError) -> Option<Substitute> {
        let sql = request.sql.as_deref()?;
        let failing = failing_statement(&statements(sql, Dialect::MySql), error, false)?;
        let at = match request.kind {
            StepKind::Query => failing.at,
            StepKind::Prepare | StepKind::Execute => 0,
            _ => return None,
        };
        Some(Substitute {
            instead: query(&format!("{}{DEADLOCK}", &sql[..at])),
            sqlstate: *b"40001",
            undo: Some(query(ROLLBACK)),
        })
    }

    fn sqlstate(&self) -> Option<[u8; 5]> {
        self.reply.sqlstate
    }

    fn tail(&self) -> usize {
        0
    }

    fn session_end(&self) -> SessionEnd {
        if self.phase != Phase::Ready || self.reply.awaited != Awaited::Nothing {
            return SessionEnd::default();
        }
        // A server closes the connection before it rolls back; so the session is reset first.
        SessionEnd {
            reset: Some(Request {
                bytes: packet::command(packet::RESET_CONNECTION, &[]),
                kind: StepKind::Other,
                sql: None,
            }),
            terminate: packet::command(packet::QUIT, &[]),
        }
    }
}

impl MySql {
    fn commanded(&mut self, bytes: Vec<u8>, body: &[u8]) -> Result<ClientMessage, ProtocolError> {
        let Some((&command, rest)) = body.split_first() else {
            return Err(ProtocolError("the client sent a packet without a command"));
        };
        let (kind, sql) = match command {
            packet::QUIT => return Ok(ClientMessage::Terminate),
            packet::STMT_SEND_LONG_DATA => return Ok(ClientMessage::Unanswered(bytes)),
            packet::STMT_CLOSE => {
                self.prepared.remove(&packet::number(rest)?);
                return Ok(ClientMessage::Unanswered(bytes));
            }
            packet::QUERY => (StepKind::Query, Some(text(rest))),
            packet::STMT_PREPARE => (StepKind::Prepare, Some(text(rest))),
            packet::STMT_EXECUTE => {
                let sql = self.prepared.get(&packet::number(rest)?).cloned();
                (StepKind::Execute, sql)
            }
            packet::PING => (StepKind::Ping, None),
            packet::CHANGE_USER => (StepKind::Handshake, None),
            command if packet::ANSWERED.contains(&command) => (StepKind::Other, None),
            _ => {
                return Err(ProtocolError(
                    "the client sent a command that the proxy does not carry",
                ));
            }
        };
        Ok(ClientMessage::Request(Request { bytes, kind, sql }))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn query(sql: &str) -> Request {
    Request {
        bytes: packet::command(packet::QUERY, sql.as_bytes()),
        kind: StepKind::Query,
        sql: Some(sql.into()),
    }
}

#[cfg(test)]
mod tests;
