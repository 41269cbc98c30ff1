//! What all connections of a proxy share: counters, and which requests are to be lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::ends::Ends;

/// Which request is meant, counted and looked for over all connections together.
#[derive(Clone, Copy, Debug)]
pub enum When<'a> {
    /// The n-th request from now on; the next one is 1.
    Request(u64),
    /// The first request from now on whose bytes contain these, such as `COMMIT`.
    Contains(&'a str),
}

/// Tells whether a loss has taken place.
#[derive(Clone, Debug)]
pub struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Whether the request has come by and was lost, or its reply. A test of a loss asserts it.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What has passed a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections made, including those that have ended.
    pub connections: u64,
    /// Requests, and so round trips.
    pub requests: u64,
    /// Bytes from clients.
    pub to_server: u64,
    /// Bytes from the server.
    pub to_client: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    LoseRequest,
    LoseReply,
    SwallowReply,
}

#[derive(Debug)]
enum Trigger {
    Countdown(u64),
    Contains(Vec<u8>),
}

#[derive(Debug)]
struct Fault {
    action: Action,
    trigger: Trigger,
    happened: Arc<AtomicBool>,
}

/// A loss whose request has been met; it is carried out by the connection.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) action: Action,
    happened: Arc<AtomicBool>,
}

impl Loss {
    /// To be called before the client can notice.
    pub(super) fn happens(&self) {
        self.happened.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    refuse: bool,
    traffic: Traffic,
    faults: Vec<Fault>,
    connections: Vec<Weak<Ends>>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    delay_nanos: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.delay_nanos.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    pub(super) fn refuse(&self, refuse: bool) {
        self.state().refuse = refuse;
    }

    pub(super) fn refuses(&self) -> bool {
        self.state().refuse
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.cut_all();
    }

    pub(super) fn cut_all(&self) {
        for ends in self.state().connections.drain(..) {
            if let Some(ends) = ends.upgrade() {
                ends.cut();
            }
        }
    }

    pub(super) fn add(&self, ends: &Arc<Ends>) {
        let mut state = self.state();
        state.traffic.connections += 1;
        state.connections.retain(|ends| ends.strong_count() > 0);
        state.connections.push(Arc::downgrade(ends));
    }

    pub(super) fn arm(&self, action: Action, when: When<'_>) -> Lost {
        let happened = Arc::new(AtomicBool::new(false));
        self.state().faults.push(Fault {
            action,
            trigger: match when {
                When::Request(n) => Trigger::Countdown(n),
                When::Contains(text) => Trigger::Contains(text.as_bytes().to_vec()),
            },
            happened: Arc::clone(&happened),
        });
        Lost(happened)
    }

    pub(super) fn count_to_client(&self, bytes: usize) {
        self.state().traffic.to_client += bytes as u64;
    }

    /// Counts what a client sent, and tells whether it is the request of a loss. `starts`: it is
    /// the first part of a request.
    pub(super) fn count_to_server(&self, bytes: &[u8], starts: bool) -> Option<Loss> {
        let mut state = self.state();
        state.traffic.to_server += bytes.len() as u64;
        state.traffic.requests += u64::from(starts);
        let mut met = None;
        for (index, fault) in state.faults.iter_mut().enumerate() {
            let is_met = match &mut fault.trigger {
                Trigger::Countdown(left) => {
                    *left -= u64::from(starts && *left > 0);
                    *left == 0
                }
                Trigger::Contains(text) => bytes.windows(text.len()).any(|window| window == *text),
            };
            if is_met && met.is_none() {
                met = Some(index);
            }
        }
        let fault = state.faults.remove(met?);
        Some(Loss {
            action: fault.action,
            happened: fault.happened,
        })
    }
}
