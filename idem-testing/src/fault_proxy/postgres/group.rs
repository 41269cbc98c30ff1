//! The messages that make up one request.

use super::message::Message;
use crate::fault_proxy::codec::Request;
use crate::fault_proxy::step::StepKind;

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) bytes: Vec<u8>,
    /// The type of its last message.
    last: u8,
    prepared: Option<String>,
    executed: Vec<String>,
}

impl Group {
    pub(super) fn add(&mut self, message: &Message<'_>) {
        self.bytes.extend_from_slice(message.bytes);
        self.last = message.kind;
    }

    pub(super) fn prepare(&mut self, sql: &str) {
        self.prepared = Some(sql.into());
    }

    pub(super) fn execute(&mut self, sql: String) {
        self.executed.push(sql);
    }

    /// SQL as text, in a Query.
    pub(super) fn run(&mut self, sql: String) {
        self.executed = vec![sql];
    }

    pub(super) fn close(self) -> Request {
        let kind = match self.last {
            b'Q' => StepKind::Query,
            b'S' if !self.executed.is_empty() => StepKind::Execute,
            b'S' if self.prepared.is_some() => StepKind::Prepare,
            // A Sync alone.
            b'S' if self.bytes.len() == 5 => StepKind::Ping,
            _ => StepKind::Other,
        };
        Request {
            bytes: self.bytes,
            kind,
            sql: match self.executed.as_slice() {
                [] => self.prepared,
                executed => Some(executed.join("; ")),
            },
        }
    }
}
