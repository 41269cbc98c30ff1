//! The faults that an exploration injects, and where.

use std::fmt;
use std::str::FromStr;

/// A kind of fault in a delivery, or a way to repeat it.
///
/// | kind | PostgreSQL, MySQL, MariaDB | SQLite |
/// |---|---|---|
/// | [`CutRequest`](Self::CutRequest), [`CutReply`](Self::CutReply), [`TruncatedReply`](Self::TruncatedReply) | at each round trip | |
/// | [`SerializationFailure`](Self::SerializationFailure) | at each round trip, PostgreSQL alone | |
/// | [`Deadlock`](Self::Deadlock) | at each round trip | |
/// | [`FailedWrite`](Self::FailedWrite) | | at each row that is written |
/// | [`Interrupted`](Self::Interrupted), [`DroppedMidStatement`](Self::DroppedMidStatement) | | at each checkpoint of each statement |
/// | [`Dropped`](Self::Dropped) | at each pending point | at each pending point |
/// | [`Sequential`](Self::Sequential), [`Concurrent`](Self::Concurrent) | once, three times | once, three times |
/// | [`Killed`](Self::Killed), if asked for | at each round trip | at each checkpoint |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The connection is cut before the request reaches the server.
    CutRequest,
    /// The server executes the request, and the connection is cut before its reply: the
    /// acknowledgement of a COMMIT is lost.
    CutReply,
    /// The connection is cut in the middle of the reply.
    TruncatedReply,
    /// The server answers with SQLSTATE 40001, and the connection stays open.
    SerializationFailure,
    /// The server answers that it chose this transaction as the victim of a deadlock, and the
    /// connection stays open.
    Deadlock,
    /// SQLite fails to write a row, as if a constraint were violated: the statement is undone, and
    /// the transaction goes on.
    FailedWrite,
    /// SQLite ends the statement with `SQLITE_INTERRUPT`, before it has done its work or halfway
    /// through.
    Interrupted,
    /// The future is dropped while SQLite is at a checkpoint of a statement.
    DroppedMidStatement,
    /// The future is dropped when it is pending for the k-th time.
    Dropped,
    /// Delivered three times, one after the other.
    Sequential,
    /// Delivered three times at once.
    Concurrent,
    /// The process is killed by SIGKILL. Off unless [`Explorer::kill`](super::Explorer::kill) is
    /// called.
    Killed,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CutRequest,
        Self::CutReply,
        Self::TruncatedReply,
        Self::SerializationFailure,
        Self::Deadlock,
        Self::FailedWrite,
        Self::Interrupted,
        Self::DroppedMidStatement,
        Self::Dropped,
        Self::Sequential,
        Self::Concurrent,
        Self::Killed,
    ];

    /// Its name in a report and in `IDEM_EXPLORE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutRequest => "cut-request",
            Self::CutReply => "cut-reply",
            Self::TruncatedReply => "truncated-reply",
            Self::SerializationFailure => "serialization-failure",
            Self::Deadlock => "deadlock",
            Self::FailedWrite => "failed-write",
            Self::Interrupted => "interrupted",
            Self::DroppedMidStatement => "dropped-inside",
            Self::Dropped => "dropped",
            Self::Sequential => "in-a-row",
            Self::Concurrent => "at-once",
            Self::Killed => "killed",
        }
    }

    /// Whether it happens at one of several points.
    pub(crate) const fn has_point(self) -> bool {
        !matches!(self, Self::Sequential | Self::Concurrent)
    }

    /// Whether its points are the steps of the call: round trips, or checkpoints of statements.
    pub(crate) const fn is_at_step(self) -> bool {
        self.has_point() && !matches!(self, Self::Dropped | Self::FailedWrite)
    }

    /// Whether its points are the rows that are written.
    pub(crate) const fn is_at_write(self) -> bool {
        matches!(self, Self::FailedWrite)
    }

    /// Whether it can come again each time the handler tries the same statement again.
    pub(crate) const fn can_repeat(self) -> bool {
        matches!(
            self,
            Self::CutRequest | Self::SerializationFailure | Self::Deadlock | Self::FailedWrite
        )
    }

    /// Whether the statement of its step fails, and the connection stays open.
    pub(crate) const fn fails_a_statement(self) -> bool {
        matches!(
            self,
            Self::SerializationFailure | Self::Deadlock | Self::Interrupted
        )
    }

    /// What was done, for a report; `step` is the noun for its points.
    pub(crate) fn describe(self, step: &str, point: u64) -> String {
        match self {
            Self::CutRequest => {
                format!("the connection was cut before {step} {point} reached the server")
            }
            Self::CutReply => format!("the server executed {step} {point}, and its reply was lost"),
            Self::TruncatedReply => {
                format!("the connection was cut in the middle of the reply to {step} {point}")
            }
            Self::SerializationFailure => {
                format!("the server answered {step} {point} with a serialization failure")
            }
            Self::Deadlock => format!("the server answered {step} {point} with a deadlock"),
            Self::FailedWrite => format!("SQLite failed to write row {point}"),
            Self::Interrupted => format!("SQLite interrupted the statement at {step} {point}"),
            Self::DroppedMidStatement => {
                format!("the future was dropped while SQLite was at {step} {point}")
            }
            Self::Dropped => format!(
                "the future was dropped when it was pending for the {} time",
                nth(point)
            ),
            Self::Sequential => "delivered three times, one after the other".into(),
            Self::Concurrent => "delivered three times at once".into(),
            Self::Killed => format!("the process was killed at {step} {point}"),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn nth(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// A kind of fault at one point of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FaultPoint {
    pub(crate) kind: FaultKind,
    /// Counted from 1; 0 for a kind that has no points.
    pub(crate) point: u64,
    /// Whether it comes again each time the handler tries the same statement again in this
    /// delivery.
    pub(crate) repeats: bool,
}

impl FaultPoint {
    /// What was done, for a report; `step` is the noun for its points.
    pub(crate) fn describe(self, step: &str) -> String {
        let once = self.kind.describe(step, self.point);
        if self.repeats {
            format!("{once}, and so it was each time the statement was tried again")
        } else {
            once
        }
    }
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.has_point() {
            let repeats = if self.repeats { ".." } else { "" };
            write!(f, "{}@{}{repeats}", self.kind, self.point)
        } else {
            self.kind.fmt(f)
        }
    }
}

/// What is injected in one run: a fault into the first delivery, and for a double fault another one
/// into the second.
///
/// Written `cut-reply@6`; `deadlock@6..` if it comes again whenever the handler tries the statement
/// of step 6 again in this delivery; `cut-reply@6+dropped@2` for a double fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    pub(crate) first: FaultPoint,
    pub(crate) second: Option<FaultPoint>,
}

impl Fault {
    pub(crate) const fn once(kind: FaultKind) -> Self {
        Self::at(kind, 0)
    }

    pub(crate) const fn at(kind: FaultKind, point: u64) -> Self {
        Self {
            first: FaultPoint {
                kind,
                point,
                repeats: false,
            },
            second: None,
        }
    }

    /// The same fault, which comes again in the same delivery; `None` if that is not possible.
    pub(crate) fn repeated(mut self) -> Option<Self> {
        let can_repeat = self.first.kind.can_repeat() && self.second.is_none();
        if self.first.repeats || !can_repeat {
            return None;
        }
        self.first.repeats = true;
        Some(self)
    }

    /// Its kind; for a double fault, the kind of the first.
    pub const fn kind(&self) -> FaultKind {
        self.first.kind
    }

    /// The point of the fault in the first delivery: a round trip, a checkpoint or a pending point,
    /// counted from 1. `None` for a kind that has no points.
    pub fn point(&self) -> Option<u64> {
        self.first.kind.has_point().then_some(self.first.point)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match &self.second {
            Some(second) => write!(f, "+{second}"),
            None => Ok(()),
        }
    }
}

impl FromStr for FaultPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, point) = match text.split_once('@') {
            Some((name, point)) => (name, Some(point)),
            None => (text, None),
        };
        let kind = FaultKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                let names = FaultKind::ALL.map(FaultKind::name).join(", ");
                format!("`{name}` is not a kind of fault: write one of {names}")
            })?;
        let (point, repeats) = match point.and_then(|point| point.strip_suffix("..")) {
            Some(_) if !kind.can_repeat() => {
                return Err(format!("`{name}` can't be repeated: write `{name}@3`"));
            }
            Some(point) => (Some(point), true),
            None => (point, false),
        };
        let point = match (kind.has_point(), point) {
            (false, None) => 0,
            (false, Some(_)) => return Err(format!("`{name}` has no point: write `{name}` alone")),
            (true, point) => point
                .and_then(|point| point.parse().ok())
                .filter(|point| *point > 0)
                .ok_or_else(|| {
                    format!("`{text}` does not say where: write `{name}@3` for its third point")
                })?,
        };
        Ok(Self {
            kind,
            point,
            repeats,
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = text.split('+').map(|fault| fault.trim().parse());
        let first = faults.next().expect("a split has a first part")?;
        let second = faults.next().transpose()?;
        match faults.next() {
            Some(_) => Err(format!("`{text}` has more than two faults")),
            None => Ok(Self { first, second }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_back_as_it_is_written() {
        for text in [
            "cut-reply@6",
            "in-a-row",
            "killed@1",
            "deadlock@5..",
            "cut-request@2+dropped@11",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for kind in FaultKind::ALL {
            let fault = Fault::at(kind, u64::from(kind.has_point()) * 3);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn what_is_not_a_fault_is_an_error_with_its_fix() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err();
        assert!(
            error("cut")
                .starts_with("`cut` is not a kind of fault: write one of cut-request, cut-reply")
        );
        assert_eq!(
            error("cut-reply"),
            "`cut-reply` does not say where: write `cut-reply@3` for its third point"
        );
        assert_eq!(
            error("cut-reply@0"),
            "`cut-reply@0` does not say where: write `cut-reply@3` for its third point"
        );
        assert_eq!(
            error("dropped@3.."),
            "`dropped` can't be repeated: write `dropped@3`"
        );
        assert_eq!(
            error("at-once@2"),
            "`at-once` has no point: write `at-once` alone"
        );
        assert_eq!(
            error("in-a-row+in-a-row+in-a-row"),
            "`in-a-row+in-a-row+in-a-row` has more than two faults"
        );
    }

    #[test]
    fn a_fault_has_its_first_point() {
        let point = |text: &str| text.parse::<Fault>().unwrap().point();
        assert_eq!(point("cut-reply@6+dropped@2"), Some(6));
        assert_eq!(point("in-a-row"), None);
    }

    #[test]
    fn a_description_says_what_was_done_and_where() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in FaultKind::ALL {
            let text = kind.describe("round trip", 7);
            assert!(!text.is_empty(), "{kind}");
            assert_eq!(text.contains('7'), kind.has_point(), "{text}");
            assert!(seen.insert(text.clone()), "{text}");
        }
    }

    #[test]
    fn points_are_counted_in_english() {
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 112].map(nth),
            [
                "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"
            ]
        );
    }
}
