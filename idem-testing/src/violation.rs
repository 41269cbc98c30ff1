//! What an exploration found wrong, in words that help to fix it.

use std::fmt;

use crate::fault::Fault;

/// What a run found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ViolationKind {
    /// Clean runs of one delivery leave databases that differ by more than clocks and generated
    /// identifiers.
    NotDeterministic,
    /// Between two deliveries the database held a part of the effect, not all of it.
    PartialCommit,
    /// A delivery succeeded, so the broker will not deliver it again, but its effect is missing.
    Lost,
    /// The delivery succeeded, but the database is not as a clean run leaves it.
    WrongState,
    /// A delivery after the effect was complete changed the database.
    DuplicateEffect,
    /// A duplicate returned something else than the first delivery.
    ResultDiffers,
    /// Clean runs of one delivery emit events with different IDs. A second execution, after a
    /// failover that lost the first, would publish the same events as new ones.
    UnstableEventId,
    /// The same messages in other batches leave another database, or get other results.
    DependsOnBatch,
    /// Later deliveries do not succeed, although a clean run does.
    NeverSucceeds,
    /// A transaction was still open when the delivery had ended.
    OpenTransaction,
}

impl ViolationKind {
    const fn title(self) -> &'static str {
        match self {
            Self::NotDeterministic => "the handler is not deterministic",
            Self::PartialCommit => "a part of the effect was committed without the rest",
            Self::Lost => "the delivery succeeded, but its effect is missing",
            Self::WrongState => {
                "the delivery succeeded, but the database is not as a clean run leaves it"
            }
            Self::DuplicateEffect => "the effect happened again",
            Self::ResultDiffers => "a duplicate returned something else than the first delivery",
            Self::UnstableEventId => "an event has a different ID in each execution",
            Self::DependsOnBatch => "what a message does depends on the batch that it is in",
            Self::NeverSucceeds => "no later delivery succeeds",
            Self::OpenTransaction => "a transaction was left open",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::NotDeterministic => {
                "take what differs from the message, so that a second execution writes the same; or name the column in \
                 `Explorer::ignore` if it may differ"
            }
            Self::PartialCommit => {
                "claim, effect, result and events are one transaction: run every statement on the handler's own `tx`, emit events \
                 through its `Outbox`, and leave BEGIN and COMMIT to `#[idempotent]`"
            }
            Self::Lost => {
                "say `Ok` only when COMMIT was confirmed, pass every database error on with `?`, and remember what was handled in \
                 the database alone, in the transaction of the effect"
            }
            Self::WrongState => {
                "pass every database error on with `?`, and keep no state outside the database: a failed delivery must leave \
                 nothing behind for the next one"
            }
            Self::DuplicateEffect => {
                "record the ID that the producer gave the message, in the transaction of the effect, and have the database refuse \
                 a second one: that is what `#[idempotent(key = \"event.id\")]` generates"
            }
            Self::ResultDiffers => {
                "store the result in the transaction of the effect, and return the stored one to a duplicate: that is what \
                 `#[idempotent]` does"
            }
            Self::UnstableEventId => {
                "consumers recognise a duplicate by the ID: derive it from the message, as `Outbox::emit` does in an `#[idempotent]` handler"
            }
            Self::DependsOnBatch => {
                "return the results in the order of the slice (`RETURNING` and `SELECT` have no order of their own), emit by \
                 `outbox.of(place)` with the place of the message, and use nothing that tells one batch from another, such as its \
                 length or a place in it"
            }
            Self::NeverSucceeds => {
                "the message would become a dead letter although nothing is wrong with it: keep everything that the handler \
                 remembers in the transaction of the effect, so that a failed delivery leaves nothing behind"
            }
            Self::OpenTransaction => {
                "it keeps its locks, and the pool hands its connection to the next call: leave BEGIN to `pool.begin()` or to \
                 `#[idempotent]`, and never leak a `Transaction`"
            }
        }
    }
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// One run that found something wrong.
///
/// [`Display`](fmt::Display) shows what was done at which step, how each delivery ended, what the
/// database holds and should hold, and the command that repeats this run alone.
#[derive(Clone, Debug)]
pub struct Violation {
    pub(crate) kind: ViolationKind,
    pub(crate) fault: Option<Fault>,
    /// How each delivery went.
    pub(crate) timeline: Vec<String>,
    /// The steps around the one with the fault, which is marked.
    pub(crate) steps: Vec<String>,
    /// What the database holds and should hold, or what else was found.
    pub(crate) found: Vec<String>,
    /// The part that is there of an incomplete effect.
    pub(crate) present: Vec<String>,
    /// Repeats this run alone.
    pub(crate) command: Option<String>,
}

impl Violation {
    /// What is wrong.
    pub const fn kind(&self) -> ViolationKind {
        self.kind
    }

    /// The fault of this run; `None` if clean runs already show the violation.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// How the database differs from what it should hold, one row a line: `-` is missing, `+`
    /// should not be there. Or what else was found.
    pub fn found(&self) -> &[String] {
        &self.found
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.kind)?;
        if let Some(fault) = &self.fault {
            write!(f, " [{fault}]")?;
        }
        writeln!(f)?;
        section(f, "what was done", &self.timeline)?;
        section(f, "where", &self.steps)?;
        let found = match self.kind {
            ViolationKind::OpenTransaction
            | ViolationKind::NeverSucceeds
            | ViolationKind::NotDeterministic
            | ViolationKind::UnstableEventId
            | ViolationKind::DependsOnBatch
            | ViolationKind::ResultDiffers => "what was found",
            ViolationKind::PartialCommit => "missing rows",
            _ => "the database (- is missing, + should not be there)",
        };
        section(f, "rows that are there", &self.present)?;
        section(f, found, &self.found)?;
        writeln!(f, "  help: {}", self.kind.help())?;
        if let Some(command) = &self.command {
            writeln!(f, "  reproduce with: {command}")?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
}
