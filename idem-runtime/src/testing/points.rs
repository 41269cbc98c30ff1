//! Where a run can be injured: the round trips of a wire, or the checkpoints of SQLite.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoints::{Checkpoints, Deed};
use super::fault::{Injury, Mode};
use super::wire::{self, Protocol, Refusal, StepKind, Wire};

/// How long the server may take to notice that a connection was cut.
const SETTLING: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The steps of a run, and what is done at one of them.
#[derive(Debug)]
pub(crate) enum Points {
    Wire(Wire),
    Checkpoints(Arc<Checkpoints>),
}

impl Points {
    pub(crate) fn start(
        protocol: Option<Protocol>,
        server: Option<SocketAddr>,
    ) -> io::Result<Self> {
        match (protocol, server) {
            (Some(protocol), Some(server)) => Wire::start(protocol, server).map(Self::Wire),
            _ => Ok(Self::Checkpoints(Arc::default())),
        }
    }

    /// Of a connection to SQLite in this process.
    pub(crate) fn checkpoints_alone() -> Self {
        Self::Checkpoints(Arc::default())
    }

    /// The noun for a step.
    pub(crate) const fn step(&self) -> &'static str {
        match self {
            Self::Wire(_) => "round trip",
            Self::Checkpoints(_) => "checkpoint",
        }
    }

    /// Where clients connect, if not to the server itself.
    pub(crate) fn via(&self) -> Option<SocketAddr> {
        match self {
            Self::Wire(wire) => Some(wire.address()),
            Self::Checkpoints(_) => None,
        }
    }

    pub(crate) fn checkpoints(&self) -> Option<&Arc<Checkpoints>> {
        match self {
            Self::Wire(_) => None,
            Self::Checkpoints(checkpoints) => Some(checkpoints),
        }
    }

    /// Counts from here, and does what the injury says when its point is reached.
    pub(crate) fn arm(&self, injury: Option<Injury>) {
        let at_point = |mode: Mode| mode.is_at_step() || mode.is_at_write();
        let injury = injury.filter(|injury| at_point(injury.mode));
        match self {
            Self::Wire(wire) => {
                let armed = injury.and_then(|injury| Some((injury.point, on_wire(injury.mode)?)));
                wire.arm(armed.as_slice());
            }
            Self::Checkpoints(checkpoints) => {
                checkpoints.arm(
                    injury.and_then(|injury| Some((injury.point, at_checkpoint(injury.mode)?))),
                );
            }
        }
    }

    /// What the pool does from here on is no step of the call.
    pub(crate) fn disarm(&self) {
        match self {
            Self::Wire(wire) => wire.disarm(),
            Self::Checkpoints(checkpoints) => checkpoints.disarm(),
        }
    }

    /// Whether what was armed has been done.
    pub(crate) fn happened(&self) -> bool {
        match self {
            Self::Wire(wire) => wire.injured() > 0,
            Self::Checkpoints(checkpoints) => checkpoints.happened(),
        }
    }

    /// The call's future is polled.
    pub(crate) fn polled(&self) {
        if let Self::Checkpoints(checkpoints) = self {
            checkpoints.polled();
        }
    }

    /// The rows since [`arm`](Self::arm) that were written, or were to be, where they are seen.
    pub(crate) fn writes(&self) -> Vec<String> {
        match self {
            Self::Wire(_) => Vec::new(),
            Self::Checkpoints(checkpoints) => checkpoints.writes(),
        }
    }

    /// Steps at which nothing is left to fail: a statement is as good as done, or it is none that a server refuses.
    pub(crate) fn sure(&self) -> Vec<u64> {
        match self {
            Self::Wire(wire) => (1..)
                .zip(wire.steps())
                .filter_map(|(point, step)| is_sure(&step).then_some(point))
                .collect(),
            Self::Checkpoints(checkpoints) => checkpoints.ends(),
        }
    }

    /// Waits until a statement or a request is held.
    pub(crate) async fn held(&self) {
        match self {
            Self::Wire(wire) => {
                while wire.injured() == 0 {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            Self::Checkpoints(checkpoints) => checkpoints.held().await,
        }
    }

    /// Waits until the server has answered, and has noticed what was cut. `false`: it has not, in good time.
    pub(crate) async fn settle(&self) -> bool {
        let Self::Wire(wire) = self else { return true };
        let deadline = Instant::now() + SETTLING;
        // Not by the wire's own wait: this thread may have to run what closes a connection.
        while !wire.settle(Duration::ZERO) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Why the proxy itself could not serve a connection since [`arm`](Self::arm).
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            Self::Wire(wire) => wire.trouble(),
            Self::Checkpoints(_) => None,
        }
    }

    /// The steps since [`arm`](Self::arm), as a report shows them.
    pub(crate) fn steps(&self, label: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
        match self {
            Self::Wire(wire) => wire
                .steps()
                .iter()
                .map(|step| shown(step, &label))
                .collect(),
            Self::Checkpoints(checkpoints) => checkpoints.steps(),
        }
    }
}

const fn on_wire(mode: Mode) -> Option<wire::Injury> {
    Some(match mode {
        Mode::CutRequest => wire::Injury::CutRequest,
        Mode::CutReply => wire::Injury::CutReply,
        Mode::TruncatedReply => wire::Injury::TruncateReply,
        Mode::SerializationFailure => wire::Injury::Refuse(Refusal::SerializationFailure),
        Mode::Deadlock => wire::Injury::Refuse(Refusal::Deadlock),
        Mode::Killed => wire::Injury::Hold,
        _ => return None,
    })
}

const fn at_checkpoint(mode: Mode) -> Option<Deed> {
    match mode {
        Mode::Refused => Some(Deed::Refuse),
        Mode::Interrupted => Some(Deed::Interrupt),
        Mode::DroppedInside => Some(Deed::Hold),
        _ => None,
    }
}

/// Whether a refusal passes it by, see [`wire`].
fn is_sure(step: &wire::Step) -> bool {
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

fn shown(step: &wire::Step, label: impl Fn(&str) -> Option<&'static str>) -> String {
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
