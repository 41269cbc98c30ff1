//! What the handlers take, and how ends are compared: as text.

use std::error::Error as StdError;
use std::fmt::Debug;

use idem_runtime::{Classify, Disposition, Error, Event, Outcome};
use serde::{Deserialize, Serialize};

/// A delivery, and what its handler does besides its effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    /// The fingerprint and the result.
    pub(crate) cents: i64,
    pub(crate) deeds: Vec<Deed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Runs statements.
    Sql(String),
    /// Runs statements and ignores their error.
    Swallowed(String),
    /// Runs a statement in a nested transaction, and rolls that back if it fails.
    Tried(String),
    /// Begins a nested transaction and forgets it.
    LeakNested,
    /// The same, only the first time that the handler runs.
    LeakOnce,
    /// Handles the same order again, in its own transaction.
    HandleAgain,
    /// Says that it is here, and waits to be let on; only the first time that the handler runs.
    Meet,
    /// The same, each time but the first: another attempt must not overtake whoever it was given up
    /// for.
    MeetAgain,
}

impl Order {
    pub(crate) fn new(id: &str, deeds: impl Into<Vec<Deed>>) -> Self {
        Self {
            id: id.into(),
            cents: 7,
            deeds: deeds.into(),
        }
    }

    pub(crate) fn plain(id: &str) -> Self {
        Self::new(id, [])
    }

    /// Waits in its body, after these deeds.
    pub(crate) fn held(id: &str, deeds: impl IntoIterator<Item = Deed>) -> Self {
        let deeds: Vec<_> = deeds.into_iter().chain([Deed::Meet]).collect();
        Self::new(id, deeds)
    }

    pub(crate) fn of(self, cents: i64) -> Self {
        Self { cents, ..self }
    }

    pub(crate) fn meets(&self) -> bool {
        self.deeds.iter().any(|deed| matches!(deed, Deed::Meet))
    }
}

/// Runs statements.
pub(crate) fn sql(text: &str) -> Deed {
    Deed::Sql(text.into())
}

/// Runs statements and ignores their error.
pub(crate) fn swallowed(text: &str) -> Deed {
    Deed::Swallowed(text.into())
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "anomalies.done", key = "id")]
pub(crate) struct Done {
    pub(crate) id: String,
}

/// The event of an order: the one whose ID follows from the database, the scope and the key, in
/// every execution.
pub(crate) fn event(id: &str) -> String {
    format!("the event of {id}")
}

/// The error of the handler that records permanent ones.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("will be refused again")]
    Closed,
    #[error("may pass on the next delivery")]
    Busy,
}

impl Classify for Refusal {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Closed => Disposition::DeadLetter,
            Self::Busy => Disposition::Retry,
        }
    }
}

/// A call's end. An error is named by its variant, and one of the database by its code.
pub(crate) fn end<T: Debug, R: Debug, E: StdError + 'static>(
    result: Result<Outcome<T, R>, Error<E>>,
) -> String {
    match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(error) => failure(&error),
    }
}

pub(crate) fn failure<E: StdError + 'static>(error: &Error<E>) -> String {
    match error {
        Error::Handler { error, .. } => format!("Handler({})", cause(error)),
        Error::Store(error) => format!("Store({})", cause(error)),
        other => format!("{other:?}"),
    }
}

/// The code of the database's error at the end of the chain.
fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        // Its error is the inner handler's own, and no source of it.
        if let Some(Error::Handler { error: inner, .. }) =
            error.downcast_ref::<Error<sqlx::Error>>()
        {
            return cause(inner);
        }
        match error.downcast_ref() {
            Some(sqlx::Error::Database(error)) => return code(error.as_ref()),
            Some(sqlx::Error::RowNotFound) => return "refused".into(),
            Some(other) => return format!("{other:?}"),
            None => next = error.source(),
        }
    }
    error.to_string()
}

fn code(error: &dyn sqlx::error::DatabaseError) -> String {
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(error) => error.number().to_string(),
        None => error.code().unwrap_or_default().into_owned(),
    }
}

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The orders whose effect is there, sorted.
    pub(crate) effects: Vec<String>,
    /// Scope, state and result of each claim, sorted.
    pub(crate) claims: Vec<(String, i64, Option<String>)>,
    /// The events, in order of emission.
    pub(crate) events: Vec<String>,
}

/// `idem_keys.state`.
pub(crate) const UNFINISHED: i64 = 0;
pub(crate) const RESULT: i64 = 1;
pub(crate) const ERROR: i64 = 2;
pub(crate) const DONE: i64 = 3;

impl State {
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// One delivery of the order `o`, all of it.
    pub(crate) fn whole() -> Self {
        Self::nothing()
            .effect("o")
            .claim("anomalies.apply", RESULT, Some("7"))
            .event("o")
    }

    /// [`whole`](Self::whole) or nothing.
    pub(crate) fn whole_if(committed: bool) -> Self {
        if committed {
            Self::whole()
        } else {
            Self::nothing()
        }
    }

    /// What a COMMIT in the handler leaves.
    pub(crate) fn unfinished() -> Self {
        Self::nothing()
            .effect("o")
            .claim("anomalies.apply", UNFINISHED, None)
    }

    pub(crate) fn effect(mut self, id: &str) -> Self {
        self.effects.push(id.into());
        self.effects.sort();
        self
    }

    pub(crate) fn claim(mut self, scope: &str, state: i64, result: Option<&str>) -> Self {
        self.claims
            .push((scope.into(), state, result.map(Into::into)));
        self.claims.sort();
        self
    }

    pub(crate) fn event(mut self, id: &str) -> Self {
        self.events.push(event(id));
        self
    }
}
