//! What a run found wrong, told so that it can be mended.

use std::fmt;

use super::fault::Fault;

/// Which law a run broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Breach {
    /// Clean runs of one delivery end in different databases, by more than clocks and generated identifiers.
    NotDeterministic,
    /// Between two deliveries the database held neither nothing of the effect nor all of it.
    Torn,
    /// A delivery ended well, so that nobody delivers it again, and its effect is missing.
    Lost,
    /// The database differs from that of a clean run after the delivery has ended well.
    Differs,
    /// A delivery after one that had ended well changed the database.
    Doubled,
    /// Clean runs of one delivery emit events with other IDs: a second execution, after a failover that lost the first one,
    /// would publish them as new ones.
    EventIds,
    /// Later deliveries do not end as a clean run does.
    Stuck,
    /// A transaction stayed open when the delivery had ended.
    LeftOpen,
}

impl Breach {
    const fn title(self) -> &'static str {
        match self {
            Self::NotDeterministic => "the handler is not deterministic",
            Self::Torn => "a part of the effect was committed without the rest",
            Self::Lost => "the delivery ended well, and its effect is missing",
            Self::Differs => {
                "the delivery ended well, and the database is not as after a clean run"
            }
            Self::Doubled => "the effect happened again",
            Self::EventIds => "an event has another ID in each execution",
            Self::Stuck => "no later delivery ends well",
            Self::LeftOpen => "a transaction was left open",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::NotDeterministic => {
                "take what differs from the message, so that a second execution writes the same; or name the column to \
                 `Explorer::ignore` if it may differ"
            }
            Self::Torn => {
                "claim, effect, result and events are one transaction: run every statement on the handler's own `tx`, emit events \
                 through its `Outbox`, and leave BEGIN and COMMIT to `#[idempotent]`"
            }
            Self::Lost => {
                "say `Ok` only when COMMIT was confirmed, pass every database error on with `?`, and remember what was handled in \
                 the database alone, in the transaction of the effect"
            }
            Self::Differs => {
                "pass every database error on with `?`, and keep no state beside the database: a delivery that failed must leave \
                 nothing to the next one"
            }
            Self::Doubled => {
                "record the ID that the producer gave the message, in the transaction of the effect, and have the database refuse \
                 a second one: that is what `#[idempotent(key = \"event.id\")]` generates"
            }
            Self::EventIds => {
                "its consumers tell a duplicate by the ID: derive it from the message, as `Outbox::emit` does in an `#[idempotent]` handler"
            }
            Self::Stuck => {
                "the message would go to the dead letters although nothing is wrong with it"
            }
            Self::LeftOpen => {
                "it holds its locks, and the pool hands its connection to the next call: leave BEGIN to `pool.begin()` or to \
                 `#[idempotent]`, and forget no `Transaction`"
            }
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// One run that broke a law.
///
/// [`Display`](fmt::Display) shows what was done at which step, how each delivery ended, what the database holds and should hold, and the
/// command that repeats this run alone.
#[derive(Clone, Debug)]
pub struct Violation {
    pub(crate) breach: Breach,
    pub(crate) fault: Option<Fault>,
    /// How each delivery went.
    pub(crate) story: Vec<String>,
    /// The steps around the injured one, marked.
    pub(crate) steps: Vec<String>,
    /// What the database holds and should hold, or what else was found.
    pub(crate) found: Vec<String>,
    /// What is there of an effect of which a part is missing.
    pub(crate) already: Vec<String>,
    pub(crate) replay: Option<String>,
}

impl Violation {
    /// Which law was broken.
    pub const fn breach(&self) -> Breach {
        self.breach
    }

    /// What was done in this run; `None` when clean runs already differ.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// How the database differs from that of a clean run, a row a line: `-` is missing, `+` should not be there. Or what else was found.
    pub fn found(&self) -> &[String] {
        &self.found
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.breach)?;
        if let Some(fault) = &self.fault {
            write!(f, " [{fault}]")?;
        }
        writeln!(f)?;
        section(f, "what was done", &self.story)?;
        section(f, "where", &self.steps)?;
        let found = match self.breach {
            Breach::LeftOpen | Breach::Stuck | Breach::NotDeterministic | Breach::EventIds => {
                "what was found"
            }
            Breach::Torn => "what the database lacks of the effect",
            _ => "the database (- is missing, + should not be there)",
        };
        section(f, "what the database holds of the effect", &self.already)?;
        section(f, found, &self.found)?;
        writeln!(f, "  help: {}", self.breach.help())?;
        if let Some(replay) = &self.replay {
            writeln!(f, "  again: {replay}")?;
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
