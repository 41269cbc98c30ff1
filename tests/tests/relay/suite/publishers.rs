//! Publishers that hang, panic, block, or have a receiver that takes nothing.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use idem_runtime::{Message, PublishBatch, PublishError, Publisher, count_dead_letters};
use tokio_util::sync::CancellationToken;

use super::{emit, relay, start, unpublished};
use crate::receivers::{Log, To, n_of, within};

/// Takes all but some, of which it never says anything.
struct Hanging {
    log: Arc<Log>,
    hangs: fn(u32) -> bool,
}

impl Publisher for Hanging {
    async fn publish(&self, batch: PublishBatch) {
        let mut hung = false;
        for (index, message) in batch.messages().iter().enumerate() {
            if (self.hangs)(n_of(message)) {
                hung = true;
            } else {
                self.log.take(message);
                batch.verdict(index, Ok(()));
            }
        }
        if hung {
            pending::<()>().await;
        }
    }
}

/// Guards: a verdict counts when it is there. The timeout of the publisher is an hour.
#[tokio::test]
async fn events_that_hang_hold_up_no_others_and_no_later_ones() {
    let db = start().await;
    let log = Log::new();
    let hanging = Hanging {
        log: log.clone(),
        hangs: |n| n % 10 == 0,
    };
    let shutdown = CancellationToken::new();
    let relay = relay(&db.pool, hanging).publish_timeout(Duration::from_hours(1));
    let running = tokio::spawn(relay.run(shutdown.cancelled_owned()));
    for round in 0..3 {
        let events: Vec<_> = (0..100).map(|n| (None, round * 100 + n)).collect();
        emit(&db.pool, &events).await.unwrap();
        let expected = (round as usize + 1) * 90;
        log.until(|taken| taken.len() == expected).await;
    }
    let settled = async { while unpublished(&db.pool).await > 30 {} };
    within(settled).await;
    running.abort();
}

/// Guards: the timeout of a call, after which its relay goes on and tries each event alone.
#[tokio::test]
async fn a_publisher_that_hangs_is_given_up_and_what_hangs_becomes_a_dead_letter() {
    let db = start().await;
    let log = Log::new();
    let hanging = Hanging {
        log: log.clone(),
        hangs: |n| n == 2,
    };
    let events = [(Some("a"), 1), (Some("b"), 2), (Some("b"), 3), (None, 4)];
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, hanging)
        .publish_timeout(Duration::from_millis(50))
        .max_attempts(2);
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!(
        (relayed.published, relayed.failed, relayed.dead_lettered),
        (3, 1, 1)
    );
    assert_eq!(log.of_key(Some("b")), [3]);
    let letters = idem_runtime::dead_letters(&db.pool, 0, 10).await.unwrap();
    let reason = &letters[0].reason;
    assert!(
        reason.contains("Hanging") && reason.contains("50ms"),
        "{reason}"
    );
}

/// Takes its time for each message, and one after the other of a call.
struct Slow {
    log: Arc<Log>,
    limit: usize,
    /// How many messages it has, and the most that it had.
    has: AtomicUsize,
    had: Arc<AtomicUsize>,
}

impl Slow {
    fn new(log: &Arc<Log>, limit: usize) -> Self {
        Self {
            log: log.clone(),
            limit,
            has: AtomicUsize::new(0),
            had: Arc::default(),
        }
    }
}

impl Publisher for Slow {
    async fn publish(&self, batch: PublishBatch) {
        let count = batch.messages().len();
        let has = self.has.fetch_add(count, Ordering::Relaxed) + count;
        self.had.fetch_max(has, Ordering::Relaxed);
        for (index, message) in batch.messages().iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.log.take(message);
            self.has.fetch_sub(1, Ordering::Relaxed);
            batch.verdict(index, Ok(()));
        }
    }

    fn max_in_flight(&self) -> usize {
        self.limit
    }
}

/// Guards: a publisher that is slow does not hang. The whole call takes far longer than it may go
/// without a verdict.
#[tokio::test]
async fn a_call_that_gives_verdicts_is_not_given_up() {
    let db = start().await;
    let log = Log::new();
    let events: Vec<_> = (0..80).map(|n| (None, n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, Slow::new(&log, usize::MAX));
    let relay = relay.publish_timeout(Duration::from_millis(400));
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (80, 0));
    assert_eq!(log.all().len(), 80);
}

/// Guards: what a publisher can't work on yet waits in the relay, and one key does not take all
/// places.
#[tokio::test]
async fn a_publisher_gets_no_more_than_it_works_on() {
    let db = start().await;
    let log = Log::new();
    let mut events: Vec<_> = (0..20).map(|n| (Some("a"), n)).collect();
    events.extend((20..40).map(|n| (None, n)));
    emit(&db.pool, &events).await.unwrap();
    let slow = Slow::new(&log, 4);
    let had = slow.had.clone();
    let relayed = within(relay(&db.pool, slow).drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (40, 0));
    assert_eq!(had.load(Ordering::Relaxed), 4);
    assert_eq!(log.of_key(Some("a")), (0..20).collect::<Vec<_>>());
    let first_four: Vec<_> = log.all().into_iter().take(4).collect();
    let of_a = first_four.iter().filter(|taken| taken.n < 20).count();
    assert_eq!(of_a, 1, "{first_four:?}");
}

/// Panics at one event, before or after the others of its batch.
struct Panicking {
    log: Arc<Log>,
    calls: AtomicUsize,
}

impl Publisher for Panicking {
    async fn publish(&self, batch: PublishBatch) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        for (index, message) in batch.messages().iter().enumerate() {
            assert!(n_of(message) != 2, "this event is too much");
            self.log.take(message);
            batch.verdict(index, Ok(()));
        }
    }
}

/// Guards: a panic is a failed attempt of what has no verdict, and after that each event stands
/// alone, so that the one to blame becomes a dead letter and no other.
#[tokio::test]
async fn a_publisher_that_panics_on_one_event_delivers_all_others() {
    let db = start().await;
    let log = Log::new();
    let panicking = Panicking {
        log: log.clone(),
        calls: AtomicUsize::new(0),
    };
    let events: Vec<_> = (0..20).map(|n| (None, n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let relayed = within(relay(&db.pool, panicking).max_attempts(5).drain()).await;
    let relayed = relayed.unwrap();
    assert_eq!((relayed.published, relayed.dead_lettered), (19, 1));
    assert_eq!(log.all().len(), 19);
    let letters = idem_runtime::dead_letters(&db.pool, 0, 10).await.unwrap();
    let letter = &letters[0];
    assert_eq!((n_of(&letter.message), letter.attempts), (2, 5));
    assert!(
        letter.reason.contains("Panicking` panicked"),
        "{}",
        letter.reason
    );
}

/// Guards: what a receiver that is away refuses is nobody's attempt, and the whole target pauses.
#[tokio::test]
async fn a_receiver_that_is_away_uses_up_no_attempts_and_is_left_alone() {
    let db = start().await;
    let log = Log::new();
    let is_away = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (away, count) = (is_away.clone(), asked.clone());
    let publisher = To::new(&log, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        if away.load(Ordering::Relaxed) {
            Err(PublishError::unavailable("down for repair"))
        } else {
            Ok(())
        }
    });
    let events: Vec<_> = (0..300)
        .map(|n| (Some(["a", "b"][n as usize % 2]), n))
        .collect();
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, publisher).max_attempts(1);
    let draining = tokio::spawn(relay.drain());
    let refused = async {
        while asked.load(Ordering::Relaxed) < 6 {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;
    is_away.store(false, Ordering::Relaxed);
    let relayed = within(draining).await.unwrap().unwrap();
    assert_eq!(
        (relayed.published, relayed.failed, relayed.dead_lettered),
        (300, 0, 0)
    );
    assert_eq!(db.number("SELECT count(*) FROM idem_attempts").await, 0);
    assert_eq!(log.all().len(), 300);
}

/// Guards: `Retry-After`. The endpoint takes 20 events and then none until the pause is over.
#[tokio::test]
async fn a_receiver_that_limits_its_rate_is_asked_again_when_it_says_so() {
    const PAUSE: Duration = Duration::from_millis(300);

    let db = start().await;
    let log = Log::new();
    let window = Arc::new(Mutex::new((Instant::now(), 0)));
    let refusals = Arc::new(AtomicUsize::new(0));
    let refused = refusals.clone();
    let publisher = To::new(&log, move |_| {
        let mut window = window.lock().unwrap();
        if window.0.elapsed() >= PAUSE {
            *window = (Instant::now(), 0);
        }
        if window.1 < 20 {
            window.1 += 1;
            return Ok(());
        }
        refused.fetch_add(1, Ordering::Relaxed);
        let rest = PAUSE.saturating_sub(window.0.elapsed());
        Err(PublishError::unavailable("too many requests").after(rest))
    });
    let events: Vec<_> = (0..60).map(|n| (Some("a"), n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, publisher).max_attempts(1);
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.dead_lettered), (60, 0));
    assert_eq!(log.of_key(Some("a")), (0..60).collect::<Vec<_>>());
    let refusals = refusals.load(Ordering::Relaxed);
    assert!(refusals <= 10, "it was asked {refusals} times for nothing");
}

/// Blocks its thread, as no publisher should, and takes each event.
struct Blocking {
    log: Arc<Log>,
    blocked: Duration,
}

impl Publisher for Blocking {
    async fn publish(&self, batch: PublishBatch) {
        for message in batch.messages() {
            self.log.take(message);
        }
        std::thread::sleep(self.blocked);
        for index in 0..batch.messages().len() {
            batch.verdict(index, Ok(()));
        }
    }
}

/// Guards: a confirmation counts whoever owns the shard by then, and also after the call was given
/// up. Two relays, each on a thread of its own, that lose their leases again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn publishers_that_block_their_threads_are_confirmed_in_the_end() {
    let db = start().await;
    let log = Log::new();
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let shutdown = CancellationToken::new();
    let relays: Vec<_> = (0..2)
        .map(|_| {
            let (pool, log, shutdown) = (db.pool.clone(), log.clone(), shutdown.clone());
            let blocked = Duration::from_millis(700);
            std::thread::spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                let relay = relay(&pool, Blocking { log, blocked })
                    .lease(Duration::from_millis(200))
                    .publish_timeout(Duration::from_millis(300));
                runtime
                    .block_on(relay.run(shutdown.cancelled_owned()))
                    .unwrap()
            })
        })
        .collect();
    let settled = async { while unpublished(&db.pool).await > 0 {} };
    within(settled).await;
    shutdown.cancel();
    for relay in relays {
        relay.join().unwrap();
    }
    let mut times: HashMap<_, usize> = HashMap::new();
    for taken in log.all() {
        *times.entry(taken.n).or_default() += 1;
    }
    assert!(times.values().all(|times| *times <= 4), "{times:?}");
    assert_eq!(count_dead_letters(&db.pool).await.unwrap(), 0);
}

/// Gives its batches to a task, and returns at once.
struct Elsewhere(Arc<Log>);

impl Publisher for Elsewhere {
    async fn publish(&self, batch: PublishBatch) {
        let log = self.0.clone();
        tokio::spawn(async move {
            for index in 0..batch.messages().len() {
                tokio::task::yield_now().await;
                let message: &Message = &batch.messages()[index];
                log.take(message);
                batch.verdict(index, Ok(()));
            }
        });
    }
}

/// Guards: a call counts as running until its batch is dropped.
#[tokio::test]
async fn a_batch_may_be_given_to_another_task() {
    let db = start().await;
    let log = Log::new();
    let events: Vec<_> = (0..50).map(|n| (Some("a"), n)).collect();
    emit(&db.pool, &events).await.unwrap();
    let relay = relay(&db.pool, Elsewhere(log.clone())).batch(7);
    let relayed = within(relay.drain()).await.unwrap();
    assert_eq!((relayed.published, relayed.failed), (50, 0));
    assert_eq!(log.all().len(), 50);
    assert_eq!(log.of_key(Some("a")), (0..50).collect::<Vec<_>>());
}
