//! Injects faults into a delivery: at the round trips of a proxy, or at the checkpoints of SQLite.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoints::{CheckpointAction, Checkpoints};
use crate::fault::{FaultKind, FaultPoint};
use crate::fault_proxy::step::{InjectedError, ProxyFault, Step, StepKind};
use crate::fault_proxy::{FaultProxy, Protocol};

/// How long the server may take to notice that a connection was cut.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a fault that repeats comes again: more often than a handler tries, but not for ever.
const REPEATS: u32 = 5;

const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Counts the steps of a delivery, and injects a fault at one of them.
#[derive(Debug)]
pub(crate) enum Injector {
    Proxy(FaultProxy),
    Checkpoints(Arc<Checkpoints>),
}

impl Injector {
    pub(crate) fn start(
        protocol: Option<Protocol>,
        server: Option<SocketAddr>,
    ) -> io::Result<Self> {
        match (protocol, server) {
            (Some(protocol), Some(server)) => FaultProxy::start(protocol, server).map(Self::Proxy),
            _ => Ok(Self::Checkpoints(Arc::default())),
        }
    }

    /// For connections to SQLite in this process.
    pub(crate) fn checkpoints_only() -> Self {
        Self::Checkpoints(Arc::default())
    }

    /// The noun for a step.
    pub(crate) const fn step(&self) -> &'static str {
        match self {
            Self::Proxy(_) => "round trip",
            Self::Checkpoints(_) => "checkpoint",
        }
    }

    /// Where clients connect, if not to the server itself.
    pub(crate) fn via(&self) -> Option<SocketAddr> {
        match self {
            Self::Proxy(proxy) => Some(proxy.address()),
            Self::Checkpoints(_) => None,
        }
    }

    pub(crate) fn checkpoints(&self) -> Option<&Arc<Checkpoints>> {
        match self {
            Self::Proxy(_) => None,
            Self::Checkpoints(checkpoints) => Some(checkpoints),
        }
    }

    /// Counts from here, and injects the fault when its point is reached. A fault that repeats
    /// comes again each time the same statement does.
    pub(crate) fn arm(&self, fault: Option<FaultPoint>) {
        let is_counted = |kind: FaultKind| kind.is_at_step() || kind.is_at_write();
        let fault = fault.filter(|fault| is_counted(fault.kind));
        let repeats = fault.map_or(0, |fault| if fault.repeats { REPEATS } else { 0 });
        match self {
            Self::Proxy(proxy) => {
                let armed = fault.and_then(|fault| Some((fault.point, proxy_fault(fault.kind)?)));
                proxy.arm(armed.as_slice());
                if repeats > 0 {
                    proxy.repeat(repeats, shape);
                }
            }
            Self::Checkpoints(checkpoints) => {
                let armed =
                    fault.and_then(|fault| Some((fault.point, checkpoint_action(fault.kind)?)));
                checkpoints.arm(armed, repeats);
            }
        }
    }

    /// Stops counting: what the pool does from here on is not a step of the call.
    pub(crate) fn disarm(&self) {
        match self {
            Self::Proxy(proxy) => proxy.disarm(),
            Self::Checkpoints(checkpoints) => checkpoints.disarm(),
        }
    }

    /// Whether the fault was injected.
    pub(crate) fn happened(&self) -> bool {
        match self {
            Self::Proxy(proxy) => proxy.injected() > 0,
            Self::Checkpoints(checkpoints) => checkpoints.happened(),
        }
    }

    /// The future of the call is polled.
    pub(crate) fn polled(&self) {
        if let Self::Checkpoints(checkpoints) = self {
            checkpoints.polled();
        }
    }

    /// The rows since [`arm`](Self::arm) that were written or about to be, where the injector sees
    /// them.
    pub(crate) fn writes(&self) -> Vec<String> {
        match self {
            Self::Proxy(_) => Vec::new(),
            Self::Checkpoints(checkpoints) => checkpoints.writes(),
        }
    }

    /// Steps that can't fail: the statement is already done, or a server never refuses it.
    pub(crate) fn infallible(&self) -> Vec<u64> {
        match self {
            Self::Proxy(proxy) => (1..)
                .zip(proxy.steps())
                .filter_map(|(point, step)| is_infallible(&step).then_some(point))
                .collect(),
            Self::Checkpoints(checkpoints) => checkpoints.ends(),
        }
    }

    /// Waits until a statement or a request is held.
    pub(crate) async fn held(&self) {
        match self {
            Self::Proxy(proxy) => {
                while proxy.injected() == 0 {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
            Self::Checkpoints(checkpoints) => checkpoints.held().await,
        }
    }

    /// Waits until the server has answered, and has noticed connections that were cut. `false`: it
    /// has not, in time.
    pub(crate) async fn settle(&self) -> bool {
        let Self::Proxy(proxy) = self else {
            return true;
        };
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        // Not by the proxy's own blocking wait: this thread may have to run the task that closes a
        // connection.
        while !proxy.settle(Duration::ZERO) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Why the proxy itself could not serve a connection since [`arm`](Self::arm).
    pub(crate) fn proxy_error(&self) -> Option<String> {
        match self {
            Self::Proxy(proxy) => proxy.error(),
            Self::Checkpoints(_) => None,
        }
    }

    /// The steps since [`arm`](Self::arm), as a report shows them.
    pub(crate) fn steps(&self, label: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
        match self {
            Self::Proxy(proxy) => proxy
                .steps()
                .iter()
                .map(|step| display(step, &label))
                .collect(),
            Self::Checkpoints(checkpoints) => checkpoints.steps(),
        }
    }
}

/// What makes two statements the same: their text without the values in it.
fn shape(sql: &str) -> String {
    let mut shape = String::with_capacity(sql.len());
    let mut quoted = false;
    for character in sql.chars() {
        let is_quote = character == '\'';
        quoted ^= is_quote;
        if !quoted && !is_quote && !character.is_ascii_digit() {
            shape.push(character);
        }
    }
    shape
}

const fn proxy_fault(kind: FaultKind) -> Option<ProxyFault> {
    Some(match kind {
        FaultKind::CutRequest => ProxyFault::CutRequest,
        FaultKind::CutReply => ProxyFault::CutReply,
        FaultKind::TruncatedReply => ProxyFault::TruncateReply,
        FaultKind::SerializationFailure => ProxyFault::Fail(InjectedError::SerializationFailure),
        FaultKind::Deadlock => ProxyFault::Fail(InjectedError::Deadlock),
        FaultKind::Killed => ProxyFault::Hold,
        _ => return None,
    })
}

const fn checkpoint_action(kind: FaultKind) -> Option<CheckpointAction> {
    match kind {
        FaultKind::FailedWrite => Some(CheckpointAction::FailWrite),
        FaultKind::Interrupted => Some(CheckpointAction::Interrupt),
        FaultKind::DroppedMidStatement => Some(CheckpointAction::Hold),
        _ => None,
    }
}

/// Whether the proxy never lets this step fail by itself.
fn is_infallible(step: &Step) -> bool {
    let undoes = |statement: &str| {
        let word = statement.split_whitespace().next().unwrap_or_default();
        word.is_empty() || word.eq_ignore_ascii_case("ROLLBACK")
    };
    match step.kind {
        StepKind::Handshake | StepKind::Ping => true,
        _ => step
            .sql
            .as_deref()
            .is_some_and(|sql| sql.split(';').all(undoes)),
    }
}

fn display(step: &Step, label: impl Fn(&str) -> Option<&'static str>) -> String {
    let sql = step.sql.as_deref().unwrap_or_default();
    if let Some(label) = label(sql) {
        return label.into();
    }
    match (step.kind, sql) {
        (StepKind::Handshake, _) => "(connects)".into(),
        (StepKind::Ping, _) => "(ping)".into(),
        (_, "") => "(no statement)".into(),
        (StepKind::Prepare, sql) => format!("prepare: {}", one_line(sql)),
        (_, sql) => one_line(sql),
    }
}

/// A statement, short enough for a line.
fn one_line(sql: &str) -> String {
    const WIDTH: usize = 100;
    let words: Vec<&str> = sql.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= WIDTH {
        return line;
    }
    let start: String = line.chars().take(WIDTH - 2).collect();
    format!("{start} …")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_the_same_whatever_their_values() {
        let insert = |id: &str| format!("INSERT INTO seen (id, n) VALUES ('{id}', 17)");
        assert_eq!(shape(&insert("a1")), shape(&insert("it''s 2")));
        assert_ne!(
            shape(&insert("a")),
            shape("INSERT INTO seen (id) VALUES ('a')")
        );
    }
}
