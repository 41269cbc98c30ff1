//! A source that a test delivers from by hand.

mod delivery;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idem_runtime::__testing::{Clock, ManualClock};
use idem_runtime::{Arrival, Event, Handover, Incoming, Partition, Source, SourceError};
use tokio::sync::watch;

pub use self::delivery::{Delivered, Settled, TestDelivery};
use self::delivery::{Fate, within};

/// A source of a [`Consumer`](idem_runtime::Consumer) in a test: it hands out what the test
/// delivers, and knows how each delivery was settled. Its clones are one source.
///
/// The consumer goes by its clock, which stands still until the test moves it: waits for another
/// attempt, deadlines and the time to shut down pass at once, or not at all. The clock of tokio goes
/// on, so the time limits of the database's driver hold.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # mod example {
/// use idem_runtime::{Consumer, Event, idempotent};
/// use idem_testing::{Settled, TestSource};
/// use serde::{Deserialize, Serialize};
/// use sqlx::{SqliteConnection, SqlitePool};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(topic = "payments")]
/// struct Paid {
///     cents: i64,
/// }
///
/// #[idempotent(key = "paid.id", handler = Apply)]
/// async fn apply(tx: &mut SqliteConnection, paid: &idem_runtime::Received<Paid>) -> Result<(), sqlx::Error> {
///     sqlx::query("UPDATE accounts SET cents = cents + $1").bind(paid.data.cents).execute(tx).await?;
///     Ok(())
/// }
///
/// async fn a_payment_is_applied(pool: SqlitePool) {
///     let source = TestSource::new();
///     let consumer = Consumer::new("ledger", source.clone()).on::<Apply>();
///     let running = tokio::spawn(async move { consumer.run(&pool, std::future::pending()).await });
///
///     let delivery = source.deliver_event("evt_1", &Paid { cents: 500 });
///     delivery.assert_settled(Settled::Acked).await;
///
///     source.end();
///     running.await.unwrap().unwrap();
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestSource {
    shared: Arc<Shared>,
    clock: ManualClock,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Counts what may interest somebody who waits.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Result<Arrival<TestDelivery>, SourceError>>,
    delivered: usize,
    is_stopped: bool,
    is_paused: bool,
    pauses: usize,
    has_ended: bool,
    deadline: Option<Duration>,
    longest_hold: Option<Duration>,
    delivery_limit: Option<u32>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changes.send_modify(|changes| *changes += 1);
        result
    }

    async fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(answer) = ready(&mut self.state()) {
                return answer;
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender is this source's own");
            }
        }
    }
}

impl TestSource {
    /// A source without deadlines and limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives each delivery a deadline that long, until it is extended.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.shared.state().deadline = Some(deadline);
        self
    }

    /// Says that no delivery can be kept for longer than this: see
    /// [`Source::longest_hold`](idem_runtime::Source::longest_hold).
    #[must_use]
    pub fn longest_hold(self, longest: Duration) -> Self {
        self.shared.state().longest_hold = Some(longest);
        self
    }

    /// Says how often the broker delivers: see
    /// [`Source::delivery_limit`](idem_runtime::Source::delivery_limit).
    #[must_use]
    pub fn delivery_limit(self, limit: u32) -> Self {
        self.shared.state().delivery_limit = Some(limit);
        self
    }

    /// Delivers a message.
    pub fn deliver(&self, incoming: Incoming) -> Delivered {
        self.deliver_from(Partition::default(), incoming)
    }

    /// Delivers an event in JSON, for the first time, as a relay publishes it.
    ///
    /// # Panics
    /// If it does not serialize.
    pub fn deliver_event<E: Event>(&self, id: &str, event: &E) -> Delivered {
        let event = Incoming::of_event(id, event);
        self.deliver(event.expect("the event serializes"))
    }

    /// Delivers a message of a partition.
    pub fn deliver_from(&self, partition: Partition, incoming: Incoming) -> Delivered {
        let fate = Arc::new(watch::Sender::new(Fate::default()));
        let delivered = Delivered { fate: fate.clone() };
        self.shared.change(|state| {
            state.waiting.push_back(Ok(Arrival::Delivery(TestDelivery {
                incoming,
                partition,
                deadline: state.deadline,
                fate,
            })));
        });
        delivered
    }

    /// Takes partitions away.
    pub fn revoke(&self, partitions: impl Into<Vec<Partition>>) -> HandedOver {
        let done = Arc::new(watch::Sender::new(false));
        let handed_over = HandedOver(done.clone());
        let handover = Handover::new(move || {
            done.send_replace(true);
        });
        let arrival = Arrival::Revoked(partitions.into(), handover);
        self.shared
            .change(|state| state.waiting.push_back(Ok(arrival)));
        handed_over
    }

    /// Makes the next answer an error.
    pub fn fail(&self, error: SourceError) {
        self.shared
            .change(|state| state.waiting.push_back(Err(error)));
    }

    /// Nothing comes any more, so the consumer ends once it is done with what came.
    pub fn end(&self) {
        self.shared.change(|state| state.has_ended = true);
    }

    /// Moves the consumer's clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Waits until the consumer has nothing to do before a certain time, such as that of another
    /// attempt, and moves its clock to that.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn advance_to_next(&self) {
        let waits = within(self.clock.advance_to_next()).await;
        assert!(waits.is_some(), "the consumer waits for no time");
    }

    /// How many deliveries the consumer has taken.
    pub fn taken(&self) -> usize {
        self.shared.state().delivered
    }

    /// Waits until the consumer has taken so many deliveries.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait_taken(&self, deliveries: usize) {
        let taken = self
            .shared
            .until(|state| (state.delivered >= deliveries).then_some(()));
        let taken = within(taken).await;
        assert!(
            taken.is_some(),
            "the consumer has taken {} deliveries and not {deliveries}",
            self.taken()
        );
    }

    /// Waits until the consumer has told the source to pause, or not to pause any more.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait_paused(&self, paused: bool) {
        let is = self
            .shared
            .until(|state| (state.is_paused == paused).then_some(()));
        let is = within(is).await;
        assert!(is.is_some(), "the source is not paused: {}", !paused);
    }

    /// Waits until the consumer has told the source to pause so often, however short each pause was.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait_pauses(&self, times: usize) {
        let paused = self
            .shared
            .until(|state| (state.pauses >= times).then_some(()));
        let paused = within(paused).await;
        assert!(paused.is_some(), "the source was not paused {times} times");
    }

    /// Whether the consumer has stopped the source.
    pub fn is_stopped(&self) -> bool {
        self.shared.state().is_stopped
    }
}

impl Source for TestSource {
    type Delivery = TestDelivery;

    async fn receive(&self) -> Option<Result<Arrival<TestDelivery>, SourceError>> {
        self.shared
            .until(|state| {
                let is_held_back = state.is_paused
                    && matches!(state.waiting.front(), Some(Ok(Arrival::Delivery(_))));
                if state.waiting.is_empty() && (state.is_stopped || state.has_ended) {
                    return Some(None);
                }
                if is_held_back {
                    let revoked =
                        |arrival: &Result<_, _>| !matches!(arrival, Ok(Arrival::Delivery(_)));
                    let place = state.waiting.iter().position(revoked)?;
                    return state.waiting.remove(place).map(Some);
                }
                let arrival = state.waiting.pop_front()?;
                state.delivered += usize::from(matches!(arrival, Ok(Arrival::Delivery(_))));
                Some(Some(arrival))
            })
            .await
            .inspect(|_| self.shared.change(|_| ()))
    }

    fn stop(&self) {
        self.shared.change(|state| state.is_stopped = true);
    }

    fn pause(&self, paused: bool) -> bool {
        self.shared.change(|state| {
            state.pauses += usize::from(paused && !state.is_paused);
            state.is_paused = paused;
        });
        true
    }

    fn system(&self) -> &'static str {
        "test"
    }

    fn longest_hold(&self) -> Option<Duration> {
        self.shared.state().longest_hold
    }

    fn delivery_limit(&self) -> Option<u32> {
        self.shared.state().delivery_limit
    }

    fn clock(&self) -> Clock {
        self.clock.clock()
    }
}

/// Partitions that were revoked.
#[derive(Debug)]
pub struct HandedOver(Arc<watch::Sender<bool>>);

impl HandedOver {
    /// Whether the consumer has given them up.
    pub fn is_done(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the consumer has given them up.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait(&self) {
        let mut done = self.0.subscribe();
        let done = within(done.wait_for(|done| *done)).await;
        assert!(done.is_some(), "the partitions are not handed over");
    }
}
