//! Which relays there are, and what each one takes.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

use crate::shard::ShardSet;

/// A session of a relay. Dropping it ends it.
#[doc(hidden)]
pub trait RelaySession: Send + 'static {
    /// What others know it by. `None`: they can't see when it is gone, and wait for the lease.
    fn name(&self) -> Option<&str>;

    /// Waits for the next wake-up from another process.
    ///
    /// # Errors
    /// The session is gone.
    fn woken(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A relay, as the table of relays has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub(crate) target: String,
    pub(crate) owner: Uuid,
    pub(crate) topics: Topics,
    pub(crate) shards: ShardSet,
    /// Its lease has not ended, and its session is there as far as that can be known.
    pub(crate) is_alive: bool,
}

/// What a relay changes in the table of relays.
#[derive(Debug, Default)]
pub struct Changes {
    /// Relays that are dead.
    pub(crate) remove: Vec<Uuid>,
    /// The relay itself, inserted or renewed.
    pub(crate) put: Option<Membership>,
}

/// A relay that says it is alive.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) target: String,
    pub(crate) owner: Uuid,
    /// The name of its session.
    pub(crate) session: Option<String>,
    pub(crate) topics: Topics,
    pub(crate) shards: ShardSet,
    pub(crate) lease: Duration,
}

/// Which topics a relay takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(pub(crate) Option<BTreeSet<String>>);

impl Topics {
    /// As the table of relays holds it: a JSON array, or NULL for all topics.
    pub(crate) fn to_column(&self) -> Option<String> {
        let topics = self.0.as_ref()?;
        Some(serde_json::to_string(topics).expect("strings serialize"))
    }

    /// What can't be read counts as all topics: it may overlap with every other.
    pub(crate) fn from_column(column: Option<&str>) -> Self {
        Self(column.and_then(|topics| serde_json::from_str(topics).ok()))
    }

    pub(crate) fn contain(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    /// A topic that both take.
    pub(crate) fn overlap<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        match (&self.0, &other.0) {
            (None, None) => Some("every topic"),
            (Some(some), None) | (None, Some(some)) => some.first().map(String::as_str),
            (Some(one), Some(other)) => one.intersection(other).next().map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(topics: &[&str]) -> Topics {
        Topics(Some(topics.iter().map(|&topic| topic.into()).collect()))
    }

    #[test]
    fn targets_overlap_where_they_take_one_topic() {
        let all = Topics::default();
        assert!(all.overlap(&all).is_some());
        assert_eq!(all.overlap(&topics(&["a"])), Some("a"));
        assert_eq!(topics(&["a", "b"]).overlap(&topics(&["c", "b"])), Some("b"));
        assert_eq!(topics(&["a"]).overlap(&topics(&["b"])), None);
    }

    #[test]
    fn topics_survive_their_column() {
        for topics in [Topics::default(), topics(&[]), topics(&["a\"b", "c"])] {
            assert_eq!(Topics::from_column(topics.to_column().as_deref()), topics);
        }
    }
}
