//! What all connections of a proxy share: the count, the injuries to come, and which connections are at rest.

use std::collections::BTreeMap;
use std::io::ErrorKind::WouldBlock;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Injury, Step};

#[derive(Debug, Default)]
pub(super) struct Tally {
    state: Mutex<State>,
    rested: Condvar,
}

#[derive(Debug, Default)]
struct State {
    counting: bool,
    /// Tells the injuries of one arming from those of the next.
    armings: u64,
    steps: Vec<Step>,
    injuries: Vec<(u64, Injury)>,
    injured: usize,
    trouble: Option<String>,
    connections: u32,
    links: BTreeMap<u32, Link>,
}

#[derive(Debug)]
struct Link {
    /// The client's side, to see what it has sent and nobody has read.
    client: TcpStream,
    at_rest: bool,
}

/// An injury whose round trip has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) injury: Injury,
    arming: u64,
}

impl Tally {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, injuries: &[(u64, Injury)]) {
        let mut state = self.state();
        state.counting = true;
        state.armings += 1;
        state.steps.clear();
        state.injuries = injuries.to_vec();
        state.injured = 0;
        state.trouble = None;
    }

    pub(super) fn disarm(&self) {
        self.state().counting = false;
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    pub(super) fn count(&self) -> u64 {
        self.state().steps.len() as u64
    }

    pub(super) fn injured(&self) -> usize {
        self.state().injured
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Keeps the first of them: the others follow from it.
    pub(super) fn report(&self, trouble: String) {
        self.state().trouble.get_or_insert(trouble);
    }

    /// A connection has come; its number.
    pub(super) fn enter(&self, client: TcpStream) -> u32 {
        let mut state = self.state();
        state.connections += 1;
        let number = state.connections;
        let at_rest = false;
        state.links.insert(number, Link { client, at_rest });
        number
    }

    /// The server has closed the connection.
    pub(super) fn leave(&self, number: u32) {
        self.state().links.remove(&number);
        self.rested.notify_all();
    }

    /// Counts a round trip; what is to be done to it.
    pub(super) fn step(&self, step: Step) -> Option<Due> {
        let mut state = self.state();
        if !state.counting {
            return None;
        }
        state.steps.push(step);
        let count = state.steps.len() as u64;
        let &(_, injury) = state.injuries.iter().find(|(at, _)| *at == count)?;
        let arming = state.armings;
        Some(Due { injury, arming })
    }

    /// To be called before the client can notice.
    pub(super) fn happens(&self, due: Due) {
        let mut state = self.state();
        if due.arming == state.armings {
            state.injured += 1;
        }
    }

    /// The connection has no request that is without its reply.
    pub(super) fn rest(&self, number: u32) {
        if let Some(link) = self.state().links.get_mut(&number) {
            link.at_rest = true;
        }
        self.rested.notify_all();
    }

    /// Reads from the client, if there is something, so that [`settle`](Self::settle) finds what it has sent either
    /// unread or in work.
    pub(super) fn read(&self, number: u32, read: impl FnOnce() -> bool) {
        let mut state = self.state();
        if read()
            && let Some(link) = state.links.get_mut(&number)
        {
            link.at_rest = false;
        }
    }

    pub(super) fn settle(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        while !state.links.values().all(Link::is_settled) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = self
                .rested
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl Link {
    fn is_settled(&self) -> bool {
        // Not even an end: that takes work, too.
        self.at_rest && matches!(self.client.peek(&mut [0]), Err(e) if e.kind() == WouldBlock)
    }
}
