//! What all connections of a proxy share: the count, the faults to come, and which connections are
//! idle.

use std::collections::BTreeMap;
use std::io::ErrorKind::WouldBlock;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::step::{ProxyFault, Step};

#[derive(Debug, Default)]
pub(super) struct ProxyState {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    counting: bool,
    /// Distinguishes the faults of one arming from those of the next.
    armings: u64,
    steps: Vec<Step>,
    faults: Vec<(u64, ProxyFault)>,
    repeated: Option<Repeated>,
    injected: usize,
    error: Option<String>,
    connections: u32,
    open: BTreeMap<u32, ProxyConnection>,
}

#[derive(Debug)]
struct ProxyConnection {
    /// The client's side, to see what it has sent and was not read yet.
    client: TcpStream,
    is_idle: bool,
}

/// A fault that comes again with the same statement.
#[derive(Debug)]
struct Repeated {
    /// The statement that it was injected into first.
    statement: Option<String>,
    /// What makes two statements the same.
    identity: fn(&str) -> String,
    fault: ProxyFault,
    left: u32,
}

/// A fault whose round trip has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueFault {
    pub(super) fault: ProxyFault,
    arming: u64,
}

impl ProxyState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, faults: &[(u64, ProxyFault)]) {
        let mut state = self.lock();
        state.counting = true;
        state.armings += 1;
        state.steps.clear();
        state.faults = faults.to_vec();
        state.repeated = None;
        state.injected = 0;
        state.error = None;
    }

    /// Injects the armed fault again, at most this number of times, into each later statement that
    /// is the same by `identity`.
    pub(super) fn repeat(&self, times: u32, identity: fn(&str) -> String) {
        let mut state = self.lock();
        let fault = state.faults.first().map(|(_, fault)| *fault);
        state.repeated = fault.map(|fault| Repeated {
            statement: None,
            identity,
            fault,
            left: times,
        });
    }

    pub(super) fn disarm(&self) {
        self.lock().counting = false;
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.lock().steps.clone()
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().steps.len() as u64
    }

    pub(super) fn injected(&self) -> usize {
        self.lock().injected
    }

    pub(super) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    /// Keeps the first of them: the others follow from it.
    pub(super) fn report(&self, error: String) {
        self.lock().error.get_or_insert(error);
    }

    /// A connection has come; its number.
    pub(super) fn enter(&self, client: TcpStream) -> u32 {
        let mut state = self.lock();
        state.connections += 1;
        let number = state.connections;
        let is_idle = false;
        state
            .open
            .insert(number, ProxyConnection { client, is_idle });
        number
    }

    /// The server has closed the connection.
    pub(super) fn leave(&self, number: u32) {
        self.lock().open.remove(&number);
        self.changed.notify_all();
    }

    /// Counts a round trip; what is to be done to it.
    pub(super) fn step(&self, step: Step) -> Option<DueFault> {
        let mut state = self.lock();
        if !state.counting {
            return None;
        }
        let sql = step.sql.clone();
        state.steps.push(step);
        let count = state.steps.len() as u64;
        let armed = state.faults.iter().find(|(at, _)| *at == count);
        let armed = armed.map(|(_, fault)| *fault);
        let repeated = state.repeated.as_mut();
        let repeated = repeated.and_then(|repeated| repeated.strikes(&sql?, armed.is_some()));
        let fault = armed.or(repeated)?;
        let arming = state.armings;
        Some(DueFault { fault, arming })
    }

    /// To be called before the client can notice.
    pub(super) fn happens(&self, due: DueFault) {
        let mut state = self.lock();
        if due.arming == state.armings {
            state.injected += 1;
        }
    }

    /// The connection has no request that is without its reply.
    pub(super) fn idle(&self, number: u32) {
        if let Some(link) = self.lock().open.get_mut(&number) {
            link.is_idle = true;
        }
        self.changed.notify_all();
    }

    /// Reads from the client, if there is something, so that [`settle`](Self::settle) finds what it
    /// has sent either unread or in work.
    pub(super) fn read(&self, number: u32, read: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if read()
            && let Some(link) = state.open.get_mut(&number)
        {
            link.is_idle = false;
        }
    }

    pub(super) fn settle(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        while !state.open.values().all(ProxyConnection::is_settled) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl Repeated {
    /// Whether it comes again with this statement, or is injected into it for the first time.
    fn strikes(&mut self, sql: &str, is_first: bool) -> Option<ProxyFault> {
        let statement = Some((self.identity)(sql));
        if is_first {
            self.statement = statement;
            return None;
        }
        if self.left == 0 || self.statement != statement {
            return None;
        }
        self.left -= 1;
        Some(self.fault)
    }
}

impl ProxyConnection {
    fn is_settled(&self) -> bool {
        // Not even an end: that takes work, too.
        self.is_idle && matches!(self.client.peek(&mut [0]), Err(e) if e.kind() == WouldBlock)
    }
}
