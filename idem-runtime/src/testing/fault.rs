//! What is done to a run, and where.

use std::fmt;
use std::str::FromStr;

/// A way to injure a delivery, or to repeat it.
///
/// | mode | PostgreSQL, MySQL, MariaDB | SQLite |
/// |---|---|---|
/// | [`CutRequest`](Self::CutRequest), [`CutReply`](Self::CutReply), [`TruncatedReply`](Self::TruncatedReply) | at each round trip | |
/// | [`SerializationFailure`](Self::SerializationFailure) | at each round trip, PostgreSQL alone | |
/// | [`Deadlock`](Self::Deadlock) | at each round trip | |
/// | [`Refused`](Self::Refused) | | at each row that is written |
/// | [`Interrupted`](Self::Interrupted), [`DroppedInside`](Self::DroppedInside) | | at each checkpoint of each statement |
/// | [`Dropped`](Self::Dropped) | at each pending point | at each pending point |
/// | [`InARow`](Self::InARow), [`AtOnce`](Self::AtOnce) | once, three times | once, three times |
/// | [`Killed`](Self::Killed), if asked for | at each round trip | at each checkpoint |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The connection is cut before the request reaches the server.
    CutRequest,
    /// The server executes the request, and the connection is cut before its reply: the acknowledgement of a COMMIT is lost.
    CutReply,
    /// The connection is cut in the middle of the reply.
    TruncatedReply,
    /// The server answers with SQLSTATE 40001, and the connection lives on.
    SerializationFailure,
    /// The server answers that it chose this transaction as the victim of a deadlock, and the connection lives on.
    Deadlock,
    /// SQLite refuses to write a row, as if a constraint were violated: the statement is undone, and the transaction lives on.
    Refused,
    /// SQLite ends the statement with `SQLITE_INTERRUPT`, before it has done its work or in the midst of it.
    Interrupted,
    /// The future is dropped while SQLite is at a checkpoint of a statement.
    DroppedInside,
    /// The future is dropped when it is pending for the k-th time.
    Dropped,
    /// Delivered three times, one after the other.
    InARow,
    /// Delivered three times at once.
    AtOnce,
    /// The process is killed by SIGKILL. Off unless [`Explorer::kill`](super::Explorer::kill) is called.
    Killed,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CutRequest,
        Self::CutReply,
        Self::TruncatedReply,
        Self::SerializationFailure,
        Self::Deadlock,
        Self::Refused,
        Self::Interrupted,
        Self::DroppedInside,
        Self::Dropped,
        Self::InARow,
        Self::AtOnce,
        Self::Killed,
    ];

    /// As it stands in a report and in `IDEM_EXPLORE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutRequest => "cut-request",
            Self::CutReply => "cut-reply",
            Self::TruncatedReply => "truncated-reply",
            Self::SerializationFailure => "serialization-failure",
            Self::Deadlock => "deadlock",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::DroppedInside => "dropped-inside",
            Self::Dropped => "dropped",
            Self::InARow => "in-a-row",
            Self::AtOnce => "at-once",
            Self::Killed => "killed",
        }
    }

    /// Whether it happens at one of several points.
    pub(crate) const fn has_point(self) -> bool {
        !matches!(self, Self::InARow | Self::AtOnce)
    }

    /// Whether its points are the steps of the call: round trips, or checkpoints of statements.
    pub(crate) const fn is_at_step(self) -> bool {
        self.has_point() && !matches!(self, Self::Dropped | Self::Refused)
    }

    /// Whether its points are the rows that are written.
    pub(crate) const fn is_at_write(self) -> bool {
        matches!(self, Self::Refused)
    }

    /// Whether the statement of its step fails, and the connection lives on.
    pub(crate) const fn lets_a_statement_fail(self) -> bool {
        matches!(
            self,
            Self::SerializationFailure | Self::Deadlock | Self::Interrupted
        )
    }

    /// What it did, for a report; `step` is the noun for its points.
    pub(crate) fn story(self, step: &str, point: u64) -> String {
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
            Self::Refused => format!("SQLite refused to write row {point}"),
            Self::Interrupted => format!("SQLite interrupted the statement at {step} {point}"),
            Self::DroppedInside => {
                format!("the future was dropped while SQLite was at {step} {point}")
            }
            Self::Dropped => format!(
                "the future was dropped when it was pending for the {} time",
                nth(point)
            ),
            Self::InARow => "delivered three times, one after the other".into(),
            Self::AtOnce => "delivered three times at once".into(),
            Self::Killed => format!("the process was killed at {step} {point}"),
        }
    }
}

impl fmt::Display for Mode {
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

/// One injury of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Injury {
    pub(crate) mode: Mode,
    /// Counted from 1; 0 for a mode that has no points.
    pub(crate) point: u64,
}

impl fmt::Display for Injury {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mode.has_point() {
            write!(f, "{}@{}", self.mode, self.point)
        } else {
            self.mode.fmt(f)
        }
    }
}

/// What is done in one run: an injury of the first delivery, and in a double fault another of the second.
///
/// Written `cut-reply@6`, or `cut-reply@6+dropped@2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    pub(crate) first: Injury,
    pub(crate) second: Option<Injury>,
}

impl Fault {
    pub(crate) const fn once(mode: Mode) -> Self {
        Self::at(mode, 0)
    }

    pub(crate) const fn at(mode: Mode, point: u64) -> Self {
        Self {
            first: Injury { mode, point },
            second: None,
        }
    }

    /// Its mode; of a double fault, the first one's.
    pub const fn mode(&self) -> Mode {
        self.first.mode
    }

    /// The point at which the first delivery was injured: a round trip, a checkpoint or a pending point, counted
    /// from 1. `None` for a mode that has no points.
    pub fn point(&self) -> Option<u64> {
        self.first.mode.has_point().then_some(self.first.point)
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

impl FromStr for Injury {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, point) = match text.split_once('@') {
            Some((name, point)) => (name, Some(point)),
            None => (text, None),
        };
        let mode = Mode::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| {
                let names = Mode::ALL.map(Mode::name).join(", ");
                format!("`{name}` is no mode: write one of {names}")
            })?;
        let point = match (mode.has_point(), point) {
            (false, None) => 0,
            (false, Some(_)) => return Err(format!("`{name}` has no point: write `{name}` alone")),
            (true, point) => point
                .and_then(|point| point.parse().ok())
                .filter(|point| *point > 0)
                .ok_or_else(|| {
                    format!("`{text}` does not say where: write `{name}@3` for its third point")
                })?,
        };
        Ok(Self { mode, point })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut injuries = text.split('+').map(|injury| injury.trim().parse());
        let first = injuries.next().expect("a split has a first part")?;
        let second = injuries.next().transpose()?;
        match injuries.next() {
            Some(_) => Err(format!("`{text}` has more than two injuries")),
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
            "cut-request@2+dropped@11",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for mode in Mode::ALL {
            let fault = Fault::at(mode, u64::from(mode.has_point()) * 3);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn what_is_no_fault_is_told_with_its_fix() {
        let refused = |text: &str| text.parse::<Fault>().unwrap_err();
        assert!(
            refused("cut").starts_with("`cut` is no mode: write one of cut-request, cut-reply")
        );
        assert_eq!(
            refused("cut-reply"),
            "`cut-reply` does not say where: write `cut-reply@3` for its third point"
        );
        assert_eq!(
            refused("cut-reply@0"),
            "`cut-reply@0` does not say where: write `cut-reply@3` for its third point"
        );
        assert_eq!(
            refused("at-once@2"),
            "`at-once` has no point: write `at-once` alone"
        );
        assert_eq!(
            refused("in-a-row+in-a-row+in-a-row"),
            "`in-a-row+in-a-row+in-a-row` has more than two injuries"
        );
    }

    #[test]
    fn a_fault_tells_its_first_point_if_it_has_one() {
        let point = |text: &str| text.parse::<Fault>().unwrap().point();
        assert_eq!(point("cut-reply@6+dropped@2"), Some(6));
        assert_eq!(point("in-a-row"), None);
    }

    #[test]
    fn a_story_says_what_was_done_and_where() {
        let mut told = std::collections::BTreeSet::new();
        for mode in Mode::ALL {
            let story = mode.story("round trip", 7);
            assert!(!story.is_empty(), "{mode}");
            assert_eq!(story.contains('7'), mode.has_point(), "{story}");
            assert!(told.insert(story.clone()), "{story}");
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
