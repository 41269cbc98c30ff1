//! Whether anything was doubled or lost, as the database and the file of events show it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A line of the ledger's query: the name of a total, the total as the database keeps it, and one
/// entry of the append-only ledger that it should be the sum of. A total without entries has one
/// line.
pub type Line = (String, i64, Option<String>, Option<i64>);

/// An event that was published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The event's ID.
    pub id: String,
    /// The delivery that it is about.
    pub subject: String,
}

/// What went wrong; nothing if both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is there more than once: deliveries with two ledger entries or with two different event
    /// IDs, and totals above the sum of their entries.
    pub doubled: BTreeSet<String>,
    /// What is missing: deliveries without a ledger entry or without an event, and totals below the
    /// sum of their entries.
    pub lost: BTreeSet<String>,
}

/// Compares what was delivered with what is in the books and what was published.
///
/// ```
/// use idem_examples::audit::{Published, audit};
///
/// let delivered = ["p1".to_owned(), "p2".to_owned()].into();
/// let twice = |subject: &str| ("alice".to_owned(), 20, Some(subject.to_owned()), Some(10));
/// let books = [twice("p1"), twice("p1")];
/// let events = [Published { id: "e1".into(), subject: "p1".into() }].into();
///
/// let verdict = audit(&delivered, &books, &events);
/// assert_eq!(verdict.doubled, ["p1".to_owned()].into());
/// assert_eq!(verdict.lost, ["p2".to_owned()].into());
/// ```
pub fn audit(
    delivered: &BTreeSet<String>,
    books: &[Line],
    events: &BTreeSet<Published>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut entries = BTreeMap::<&str, usize>::new();
    // Per total: what the database says, what its entries add up to, each counted once.
    let mut totals = BTreeMap::<&str, (i64, i64)>::new();
    let mut doubled_in = BTreeSet::new();
    for (name, total, entry, amount) in books {
        let (_, sum) = totals.entry(name).or_insert((*total, 0));
        let Some(entry) = entry else { continue };
        let seen = entries.entry(entry).or_default();
        *seen += 1;
        if *seen == 1 {
            *sum += amount.unwrap_or(0);
        } else {
            verdict.doubled.insert(entry.clone());
            doubled_in.insert(name.as_str());
        }
    }
    for (name, (total, sum)) in totals {
        // A total that is off because of a doubled entry is reported as that entry.
        if total < sum {
            verdict.lost.insert(name.to_owned());
        } else if total > sum && !doubled_in.contains(name) {
            verdict.doubled.insert(name.to_owned());
        }
    }

    let mut published = BTreeSet::new();
    for event in events {
        if !published.insert(event.subject.as_str()) {
            verdict.doubled.insert(event.subject.clone());
        }
    }
    let complete =
        |id: &&String| entries.contains_key(id.as_str()) && published.contains(id.as_str());
    let incomplete = delivered.iter().filter(|id| !complete(id));
    verdict.lost.extend(incomplete.cloned());
    verdict
}

/// The database and the file at one time.
#[derive(Debug, Default)]
pub struct State {
    /// What the database holds.
    pub books: Vec<Line>,
    /// The distinct events in the file.
    pub events: BTreeSet<Published>,
    /// How many lines the file has.
    pub lines: usize,
}

impl State {
    /// Reads the file, where each line is an event with an `id` and its `data`. A missing file is
    /// an empty one.
    ///
    /// A publisher that is killed while it writes leaves half a line, and its successor publishes
    /// that event again: such a line is no event.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read<D: DeserializeOwned>(
        books: Vec<Line>,
        events: &Path,
        subject: impl Fn(D) -> String,
    ) -> anyhow::Result<Self> {
        let text = match fs::read(events) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| events.display().to_string()),
        };
        let lines: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_slice::<EventLine<D>>(line).ok())
            .map(|event| Published {
                id: event.id,
                subject: subject(event.data),
            })
            .collect();
        Ok(Self {
            books,
            events,
            lines: lines.len(),
        })
    }

    /// The totals by name.
    pub fn totals(&self) -> BTreeMap<&str, i64> {
        let totals = self
            .books
            .iter()
            .map(|(name, total, ..)| (name.as_str(), *total));
        totals.collect()
    }

    /// How many entries the ledger has.
    pub fn entries(&self) -> usize {
        self.books
            .iter()
            .filter(|(_, _, entry, _)| entry.is_some())
            .count()
    }

    /// The events that are neither in the file, which is empty, nor among `pending`, the payloads in
    /// the outbox: an earlier run published them to another file.
    pub fn published_elsewhere<D: DeserializeOwned>(
        &self,
        pending: &[Vec<u8>],
        subject: impl Fn(D) -> String,
    ) -> BTreeSet<Published> {
        if !self.events.is_empty() {
            return BTreeSet::new();
        }
        let data = pending
            .iter()
            .filter_map(|payload| serde_json::from_slice(payload).ok());
        let pending: BTreeSet<_> = data.map(subject).collect();
        let entries = self
            .books
            .iter()
            .filter_map(|(_, _, entry, _)| entry.as_ref());
        let elsewhere = entries.filter(|entry| !pending.contains(*entry));
        elsewhere
            .map(|entry| Published {
                id: "in another file".into(),
                subject: entry.clone(),
            })
            .collect()
    }
}

/// What the audit reads of an event's line.
#[derive(Deserialize)]
struct EventLine<D> {
    id: String,
    data: D,
}
