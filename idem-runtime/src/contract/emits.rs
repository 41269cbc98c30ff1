//! The events in a handler's contract, and what a change of them does to their consumers.

use std::fmt;

use super::change::{Change, change};
use super::word::{NONE, unspaced};
use crate::event::EventContract;

/// One type of event, as a lock line holds it. No field holds a blank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Emitted {
    pub(super) topic: String,
    pub(super) kind: String,
    pub(super) ordering_key: String,
}

/// The names of its fields, in order.
pub(super) const FIELDS: [&str; 3] = ["emits", "type", "ordering_key"];

impl Emitted {
    /// Sorted, each once.
    pub(super) fn all(events: &[EventContract]) -> Vec<Self> {
        let mut all: Vec<Self> = events.iter().map(Self::of).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn of(event: &EventContract) -> Self {
        Self {
            topic: unspaced(event.topic),
            kind: unspaced(event.kind),
            ordering_key: unspaced(event.ordering_key),
        }
    }
}

impl fmt::Display for Emitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [topic, kind, ordering_key] = FIELDS;
        write!(
            f,
            "{topic}={} {kind}={} {ordering_key}={}",
            self.topic, self.kind, self.ordering_key
        )
    }
}

/// Their topics, each once.
pub(super) fn topics(events: &[Emitted]) -> String {
    let mut topics: Vec<String> = events
        .iter()
        .map(|event| format!("`{}`", event.topic))
        .collect();
    topics.dedup();
    topics.join(", ")
}

const OUTBOX: &str = "Events that are in the outbox already keep";

/// What is different. An event is the same one while its topic or its type stays.
pub(super) fn emits(old: &[Emitted], new: &[Emitted]) -> Vec<Change> {
    let mut gone: Vec<&Emitted> = old.iter().filter(|event| !new.contains(event)).collect();
    let mut fresh: Vec<&Emitted> = new.iter().filter(|event| !old.contains(event)).collect();
    let mut changes = Vec::new();
    let likenesses: [fn(&Emitted, &Emitted) -> bool; 3] = [
        |old, new| (&old.topic, &old.kind) == (&new.topic, &new.kind),
        |old, new| old.topic == new.topic,
        |old, new| old.kind == new.kind,
    ];
    for alike in likenesses {
        gone.retain(|old| {
            let Some(at) = fresh.iter().position(|new| alike(old, new)) else {
                return true;
            };
            changes.extend(changed(old, fresh.remove(at)));
            false
        });
    }
    // Another type on another topic: that one took the place of this one is a guess, but a good
    // one.
    if let ([old], [new]) = (&*gone, &*fresh) {
        changes.extend(changed(old, new));
        return changes;
    }
    changes.extend(gone.into_iter().map(removed));
    changes.extend(fresh.into_iter().map(added));
    changes
}

fn changed(old: &Emitted, new: &Emitted) -> Vec<Change> {
    [topic(old, new), kind(old, new), ordering_key(old, new)]
        .into_iter()
        .flatten()
        .collect()
}

const THERE: &str = "must exist at the broker before the first event, and a relay must be allowed to \
                     publish there.";

fn topic(Emitted { topic: old, .. }: &Emitted, new: &Emitted) -> Option<Change> {
    let new = &new.topic;
    (old != new).then(|| {
        change(
            format!("topic: was `{old}`, is `{new}`"),
            format!(
                "Consumers of `{old}` get nothing more from it. `{new}` {THERE} {OUTBOX} the topic \
                 that they were emitted to."
            ),
        )
    })
}

fn kind(Emitted { kind: old, .. }: &Emitted, new: &Emitted) -> Option<Change> {
    let (topic, new) = (&new.topic, &new.kind);
    (old != new).then(|| {
        change(
            format!("type of the events on `{topic}`: was `{old}`, is `{new}`"),
            format!(
                "Consumers choose by the type what to do: one that knows `{old}` alone takes `{new}` \
                 for an unknown event. If only the struct was renamed, pin the old type next to the \
                 topic: `type = \"{old}\"`. Otherwise deploy consumers that know both first. \
                 {OUTBOX} the old type."
            ),
        )
    })
}

fn ordering_key(old: &Emitted, new: &Emitted) -> Option<Change> {
    let (kind, old, new) = (&new.kind, &*old.ordering_key, &*new.ordering_key);
    let so = match (old, new) {
        _ if old == new => return None,
        (NONE, _) => format!(
            "From now on events with the same key reach consumers in order. {OUTBOX} none, and come \
             in any order."
        ),
        (_, NONE) => {
            "Consumers get these events in any order: what counts on an order, such as the last \
             one to win, is wrong from now on."
                .to_owned()
        }
        _ => format!(
            "Consumers get events in order only if they have the same key, and brokers choose the \
             partition by it. {OUTBOX} the old key, so an old event may come after a newer one, \
             until the outbox is drained."
        ),
    };
    Some(change(
        format!("ordering key of `{kind}`: was `{old}`, is `{new}`"),
        so,
    ))
}

fn removed(event: &Emitted) -> Change {
    let Emitted { topic, kind, .. } = event;
    change(
        format!("event removed: `{kind}` on `{topic}`"),
        format!(
            "Its consumers get nothing more from this handler. {OUTBOX} the topic that they were \
             emitted to."
        ),
    )
}

fn added(event: &Emitted) -> Change {
    let Emitted { topic, kind, .. } = event;
    change(
        format!("event added: `{kind}` on `{topic}`"),
        format!("The topic {THERE}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &'static str, kind: &'static str, key: &'static str) -> Emitted {
        Emitted::of(&EventContract::new(topic, kind, key))
    }

    fn what(old: &[Emitted], new: &[Emitted]) -> Vec<String> {
        emits(old, new)
            .into_iter()
            .map(|change| change.what)
            .collect()
    }

    #[track_caller]
    fn assert_says(old: Emitted, new: Emitted, expected_what: &str, expected_so: &str) {
        let changes = emits(&[old], &[new]);
        let [Change { what, so }] = &changes[..] else {
            panic!("not one change: {changes:?}");
        };
        assert_eq!(what, expected_what);
        assert!(so.contains(expected_so), "{so}");
    }

    #[test]
    fn a_renamed_type_says_what_consumers_see_and_the_pin() {
        assert_says(
            event("orders", "OrderPlaced", "id"),
            event("orders", "Placed", "id"),
            "type of the events on `orders`: was `OrderPlaced`, is `Placed`",
            "takes `Placed` for an unknown event. If only the struct was renamed, pin the old type next to the \
             topic: `type = \"OrderPlaced\"`",
        );
    }

    #[test]
    fn a_changed_ordering_key_says_what_happens_to_the_order() {
        for (old, new, so) in [
            ("id", "tenant", "an old event may come after a newer one"),
            ("id", "-", "in any order: what counts on an order"),
            ("-", "id", "the same key reach consumers in order"),
        ] {
            assert_says(
                event("orders", "Placed", old),
                event("orders", "Placed", new),
                &format!("ordering key of `Placed`: was `{old}`, is `{new}`"),
                so,
            );
        }
    }

    #[test]
    fn a_changed_topic_leaves_its_consumers_behind() {
        assert_says(
            event("orders", "Placed", "-"),
            event("orders.v2", "Placed", "-"),
            "topic: was `orders`, is `orders.v2`",
            "Consumers of `orders` get nothing more",
        );
    }

    #[test]
    fn each_event_that_comes_or_goes_or_changes_is_said() {
        let (a, b) = (event("a", "A", "-"), event("b", "B", "-"));
        let c = event("c", "C", "-");
        let said = |old: &[&Emitted], new: &[&Emitted]| {
            let owned = |events: &[&Emitted]| events.iter().map(|&event| event.clone()).collect();
            let (old, new): (Vec<Emitted>, Vec<Emitted>) = (owned(old), owned(new));
            what(&old, &new)
        };
        assert_eq!(said(&[&a, &b], &[&a, &b]), [""; 0]);
        assert_eq!(said(&[&a], &[]), ["event removed: `A` on `a`"]);
        assert_eq!(said(&[&a], &[&a, &b]), ["event added: `B` on `b`"]);
        assert_eq!(
            said(&[&a], &[&b, &c]),
            [
                "event removed: `A` on `a`",
                "event added: `B` on `b`",
                "event added: `C` on `c`"
            ]
        );
        assert_eq!(
            said(&[&a], &[&b]),
            [
                "topic: was `a`, is `b`",
                "type of the events on `b`: was `A`, is `B`"
            ]
        );
    }

    #[test]
    fn of_two_events_on_one_topic_each_is_compared_with_itself() {
        let (placed, paid) = (event("t", "Placed", "id"), event("t", "Paid", "id"));
        let renamed = event("t", "Settled", "id");
        assert_eq!(
            what(&[placed.clone(), paid], &[renamed, placed]),
            ["type of the events on `t`: was `Paid`, is `Settled`"]
        );
    }
}
