//! Two instances of an inbox, and all that can become of their deliveries, in orders that chance
//! chooses: nothing succeeds before what was stored before it with its key.
//!
//! Each schedule has a number, which a failure names. `IDEM_SOAK=1` runs thousands of them.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use idem_runtime::{Arrival, Delivery as _, Inbox, InboxDelivery, Incoming, Source as _};
use idem_tests::TestDb;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sqlx::Sqlite;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stage::within;

const MESSAGES: usize = 30;
const KEYS: usize = 3;

type Held = (usize, InboxDelivery<Sqlite>);

/// One schedule.
struct Schedule<'a> {
    number: u64,
    db: &'a TestDb<Sqlite>,
    rng: StdRng,
    inboxes: [Inbox<Sqlite>; 2],
    /// What each instance was handed out, with the number of the message.
    held: [Vec<Held>; 2],
    has_succeeded: [bool; MESSAGES],
    stored: usize,
    /// Settlements under way.
    settling: JoinSet<()>,
}

fn key(n: usize) -> usize {
    n % KEYS
}

impl<'a> Schedule<'a> {
    fn new(number: u64, db: &'a TestDb<Sqlite>) -> Self {
        let mut rng = StdRng::seed_from_u64(number);
        let inbox = || {
            Inbox::new(db.pool.clone(), format!("schedule-{number}"))
                .poll_interval(Duration::from_millis(2))
                .lease(Duration::from_secs(30))
        };
        let one = inbox();
        let two = if rng.random() { one.clone() } else { inbox() };
        Self {
            number,
            db,
            rng,
            inboxes: [one, two],
            held: [Vec::new(), Vec::new()],
            has_succeeded: [false; MESSAGES],
            stored: 0,
            settling: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        self.store(MESSAGES / 2).await;
        for _ in 0..80 {
            let instance = self.rng.random_range(0..2);
            match self.rng.random_range(0..40) {
                0..3 => self.store(2).await,
                3..20 => self.receive(instance).await,
                20..22 => self.leases_end(0.3).await,
                22 => self.start_again(instance).await,
                _ => self.settle(instance).await,
            }
        }
        self.store(MESSAGES).await;
        within(async {
            while !self.has_succeeded.iter().all(|succeeded| *succeeded) {
                self.leases_end(1.0).await;
                for instance in 0..2 {
                    self.receive(instance).await;
                    while let Some(held) = self.first(instance) {
                        self.succeeds(&held);
                        let _ = held.1.ack().await;
                    }
                }
            }
        })
        .await;
    }

    async fn store(&mut self, count: usize) {
        for n in self.stored..MESSAGES.min(self.stored + count) {
            let mut incoming = Incoming::new(n.to_string().into_bytes());
            incoming.id = n.to_string();
            incoming.key = Some(format!("k{}", key(n)));
            let [one, two] = &self.inboxes;
            let inbox = if self.rng.random() { one } else { two };
            assert!(inbox.store(incoming).await.unwrap());
            self.stored = n + 1;
        }
    }

    /// Whoever has a message may have it no more.
    async fn leases_end(&mut self, share: f64) {
        let waiting = format!("name = 'schedule-{}' AND done_at IS NULL", self.number);
        let some: Vec<_> = (0..MESSAGES)
            .filter(|_| self.rng.random_bool(share))
            .map(|n| format!("'{n}'"))
            .collect();
        let sql = format!(
            "UPDATE idem_inbox SET until = 1 WHERE {waiting} AND until IS NOT NULL AND id IN ({})",
            some.join(", ")
        );
        self.db.execute(&sql).await;
    }

    async fn receive(&mut self, instance: usize) {
        for _ in 0..self.rng.random_range(1..4) {
            let received = self.inboxes[instance].receive();
            let Ok(received) = timeout(Duration::from_millis(3), received).await else {
                return;
            };
            let Some(Ok(Arrival::Delivery(delivery))) = received else {
                panic!("schedule {}: it has an end, or an error", self.number);
            };
            let n = String::from_utf8(delivery.incoming().body.clone()).unwrap();
            self.held[instance].push((n.parse().unwrap(), delivery));
        }
    }

    /// What runs is the first one of its key that this instance has.
    fn first(&mut self, instance: usize) -> Option<Held> {
        let held = &mut self.held[instance];
        let mut firsts: HashMap<usize, usize> = HashMap::new();
        for (place, (n, _)) in held.iter().enumerate() {
            firsts.entry(key(*n)).or_insert(place);
        }
        let mut places: Vec<_> = firsts.into_values().collect();
        places.sort_unstable();
        let place = places.choose(&mut self.rng)?;
        Some(held.remove(*place))
    }

    fn succeeds(&mut self, (n, _): &Held) {
        let earlier = (0..*n).filter(|earlier| key(*earlier) == key(*n));
        for earlier in earlier {
            assert!(
                self.has_succeeded[earlier],
                "schedule {}: {n} succeeds before {earlier}, which has the same key",
                self.number
            );
        }
        self.has_succeeded[*n] = true;
    }

    async fn settle(&mut self, instance: usize) {
        let Some(held) = self.first(instance) else {
            return;
        };
        let act = self.rng.random_range(0..20);
        if act < 13 {
            self.succeeds(&held);
        }
        let (n, delivery) = held;
        match act {
            0..8 => {
                self.settling.spawn(async move {
                    let _ = delivery.ack().await;
                });
            }
            8..11 => {
                let _ = delivery.ack().await;
            }
            // The process is killed, or the connection breaks.
            11 | 13 => drop(delivery),
            12 => {
                let _ = delivery.reject("no letter").await;
            }
            14..16 => {
                let extended = delivery.extend().await;
                if extended.is_ok() {
                    self.held[instance].insert(0, (n, delivery));
                }
            }
            _ => {
                // With those behind it, as a consumer does.
                let all = std::mem::take(&mut self.held[instance]);
                let (mut back, held): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .partition(|(other, _)| key(*other) == key(n));
                self.held[instance] = held;
                back.insert(0, (n, delivery));
                let after = Duration::from_millis(self.rng.random_range(0..4));
                let back = back.into_iter().rev();
                join_all(back.map(|(_, delivery)| delivery.give_back(after))).await;
            }
        }
    }

    async fn start_again(&mut self, instance: usize) {
        let again = self.inboxes[instance].clone();
        let stopped = std::mem::replace(&mut self.inboxes[instance], again);
        stopped.stop();
        while let Some(Ok(Arrival::Delivery(delivery))) = within(stopped.receive()).await {
            let _ = delivery.give_back(Duration::ZERO).await;
        }
        let is_crash: bool = self.rng.random();
        for (_, delivery) in std::mem::take(&mut self.held[instance]) {
            if !is_crash {
                let _ = delivery.give_back(Duration::ZERO).await;
            }
        }
    }
}

/// Guards: what comes next of a key is handed out after the one before it was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_any_order_of_events_each_key_succeeds_in_order() {
    let schedules = if std::env::var_os("IDEM_SOAK").is_some() {
        2_000
    } else {
        40
    };
    let db = TestDb::<Sqlite>::empty(4).await;
    db.migrate().await;
    let first = rand::random_range(0..1_000_000);
    println!("schedules from {first} on");
    for number in first..first + schedules {
        Schedule::new(number, &db).run().await;
        if number % 250 == 0 {
            println!("{} of them hold", number + 1 - first);
        }
    }
}
