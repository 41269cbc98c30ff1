//! Whether each order is in the ledger once, and what is wrong if not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::books::{Books, Entry, Order};

/// How many of the culprits are named.
const NAMED: usize = 10;

/// What was found; a proof if all of it is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Orders that are in `orders.db` more than once, and changes that are in the ledger more than
    /// once.
    pub(crate) doubled: BTreeSet<String>,
    /// Orders that a client was promised and that are not in `orders.db`, and changes that are not in
    /// the ledger.
    pub(crate) lost: BTreeSet<String>,
    /// Changes that are in the ledger behind a later one of their account.
    pub(crate) reordered: BTreeSet<String>,
    /// Everything else: other amounts, entries that no order explains, balances that are not the sum
    /// of their entries, answers that were not kept, what still waits, dead letters.
    pub(crate) wrong: BTreeSet<String>,
}

type Orders<'a> = BTreeMap<&'a str, &'a Order>;

/// What an event says: the order, and whether it was placed.
type Change<'a> = (&'a str, bool);

impl Proof {
    pub(crate) fn of(books: &Books) -> Self {
        let mut proof = Self::default();
        let orders = proof.orders(books);
        proof.answers(books, &orders);
        proof.changes(books, &orders);
        proof.order(books);
        proof.balances(books, &orders);
        proof.rest(books);
        proof
    }

    pub(crate) fn holds(&self) -> bool {
        *self == Self::default()
    }

    /// Names what is wrong on standard error.
    pub(crate) fn accuse(&self) {
        for (what, culprits) in [
            ("doubled", &self.doubled),
            ("lost", &self.lost),
            ("reordered", &self.reordered),
            ("wrong", &self.wrong),
        ] {
            for culprit in culprits.iter().take(NAMED) {
                eprintln!("{what}: {culprit}");
            }
            if culprits.len() > NAMED {
                eprintln!("{what}: {} more", culprits.len() - NAMED);
            }
        }
    }

    /// By their ID, each once.
    fn orders<'a>(&mut self, books: &'a Books) -> Orders<'a> {
        let mut orders = Orders::new();
        for order in &books.orders {
            if orders.insert(&order.id, order).is_some() {
                let culprit = format!("order {}, in orders.db", order.id);
                self.doubled.insert(culprit);
            }
        }
        orders
    }

    /// What clients were told is in `orders.db`.
    fn answers(&mut self, books: &Books, orders: &Orders<'_>) {
        for answer in &books.answered {
            let id = &answer.order;
            let Some(order) = orders.get(id.as_str()) else {
                self.lost.insert(format!(
                    "order {id}, which a client was promised, in orders.db"
                ));
                continue;
            };
            let promised = (
                &answer.account,
                answer.cents,
                answer.placed,
                answer.cancelled,
            );
            let kept = (&order.account, order.cents, order.placed, order.cancelled);
            if promised != kept {
                self.wrong.insert(format!(
                    "order {id}: a client was told {promised:?}, orders.db says {kept:?}"
                ));
            }
        }
    }

    /// Each change of `orders.db` is one entry, and nothing else is.
    fn changes(&mut self, books: &Books, orders: &Orders<'_>) {
        let mut entries = BTreeMap::<Change<'_>, Vec<&Entry>>::new();
        for entry in &books.entries {
            let change = (entry.order_id.as_str(), entry.cents > 0);
            entries.entry(change).or_default().push(entry);
        }
        for order in orders.values() {
            let placed = Some((order.placed, order.cents));
            let cancelled = order.cancelled.map(|version| (version, -order.cents));
            for (is_placed, expected) in [(true, placed), (false, cancelled)] {
                let Some((version, cents)) = expected else {
                    continue;
                };
                let change = (order.id.as_str(), is_placed);
                let Some(found) = entries.remove(&change) else {
                    self.lost.insert(format!("{}, in the ledger", name(change)));
                    continue;
                };
                if found.len() > 1 {
                    self.doubled.insert(format!(
                        "{}, {} entries in the ledger",
                        name(change),
                        found.len()
                    ));
                }
                for entry in found {
                    let expected = (&order.account, version, cents);
                    let entered = (&entry.account, entry.version, entry.cents);
                    if entered != expected {
                        self.wrong.insert(format!(
                            "{}: orders.db says {expected:?}, the ledger {entered:?}",
                            name(change)
                        ));
                    }
                }
            }
        }
        for change in entries.into_keys() {
            self.wrong.insert(format!(
                "{}: in the ledger, and not in orders.db",
                name(change)
            ));
        }
    }

    /// Per account the versions grow. What is there twice is reported as that.
    fn order(&mut self, books: &Books) {
        let mut last = BTreeMap::<&str, i64>::new();
        let mut seen = BTreeSet::new();
        for entry in &books.entries {
            if !seen.insert((&entry.account, entry.version)) {
                continue;
            }
            let last = last.entry(&entry.account).or_default();
            if entry.version < *last {
                self.reordered.insert(format!(
                    "{}: change {} of {} was entered after change {last}",
                    name((&entry.order_id, entry.cents > 0)),
                    entry.version,
                    entry.account
                ));
            }
            *last = entry.version.max(*last);
        }
    }

    /// The sums agree: balances, entries, orders.
    fn balances(&mut self, books: &Books, orders: &Orders<'_>) {
        let mut expected = BTreeMap::<&str, i64>::new();
        for order in orders.values() {
            let owed = expected.entry(&order.account).or_default();
            *owed += if order.cancelled.is_none() {
                order.cents
            } else {
                0
            };
        }
        for (account, cents) in &books.balances {
            let owed = expected.remove(account.as_str()).unwrap_or_default();
            if owed != *cents {
                self.wrong.insert(format!(
                    "account {account}: {cents} cents in the ledger, {owed} by the orders"
                ));
            }
        }
        for account in expected.into_keys() {
            self.wrong
                .insert(format!("account {account}: not in the ledger"));
        }
    }

    fn rest(&mut self, books: &Books) {
        let waiting = books.waiting;
        if waiting.outbox > 0 {
            self.wrong
                .insert(format!("{} events still in the outbox", waiting.outbox));
        }
        if waiting.inbox > 0 {
            self.wrong
                .insert(format!("{} messages still in the inbox", waiting.inbox));
        }
        let letters = books.dead_letters.iter();
        self.wrong
            .extend(letters.map(|letter| format!("a dead letter of {letter}")));
    }
}

fn name((order, is_placed): Change<'_>) -> String {
    let what = if is_placed { "placed" } else { "cancelled" };
    format!("order {order} ({what})")
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [doubled, lost, reordered] =
            [&self.doubled, &self.lost, &self.reordered].map(BTreeSet::len);
        write!(f, "doubled={doubled} lost={lost} reordered={reordered}")?;
        if !self.wrong.is_empty() {
            write!(f, " wrong={}", self.wrong.len())?;
        }
        Ok(())
    }
}
