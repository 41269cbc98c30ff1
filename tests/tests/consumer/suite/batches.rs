//! Many deliveries in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{
    Backoff, Consumer, Decode, Incoming, Json, Partition, Received, Undecodable, idempotent,
};
use idem_testing::{Delivered, Settled, TestSource};
use sqlx::AssertSqlSafe;

use super::{Conn, Database, Db, Perform, Play, Running, attempts, letters, start};
use crate::stage::{Act, Stage, Step, StepError, redelivered, step, within};

/// What the body of a batch handler was given, each time.
#[derive(Clone, Debug, Default)]
struct Slices(Arc<Mutex<Vec<Vec<u32>>>>);

impl Slices {
    fn taken(&self) -> Vec<Vec<u32>> {
        self.0.lock().unwrap().clone()
    }
}

#[idempotent(
    key = "step.id",
    scope = "consumer.all",
    batch = "step in steps",
    on_duplicate = "skip",
    handler = PerformAll
)]
async fn perform_all(
    tx: &mut Conn,
    steps: &[&Received<Step>],
    slices: &Slices,
) -> Result<(), StepError> {
    let numbers: Vec<_> = steps.iter().map(|step| step.data.n).collect();
    let rows: Vec<_> = numbers.iter().map(|n| format!("('{n}')")).collect();
    slices.0.lock().unwrap().push(numbers);
    let sql = format!("INSERT INTO effects VALUES {}", rows.join(", "));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    let acts: Vec<_> = steps.iter().map(|step| step.data.act).collect();
    assert!(!acts.contains(&Act::Panic), "as the message says");
    if acts.contains(&Act::Fail) {
        return Err(StepError::transient());
    }
    Ok(())
}

async fn with_effects() -> Db {
    let db = start().await;
    db.execute("CREATE TABLE effects (id varchar(100) NOT NULL)")
        .await;
    db
}

/// A consumer whose only place is taken until the test lets the step 0 go.
struct Held {
    source: TestSource,
    stage: Stage,
    slices: Slices,
    running: Running,
    first: Delivered,
}

impl Held {
    async fn start(db: &Db, batch: usize) -> Self {
        let (source, stage, slices) = (TestSource::new(), Stage::default(), Slices::default());
        let consumer = Consumer::<_, Database>::new("steps", source.clone())
            .on_with::<Perform>(stage.clone())
            .on_type_with::<PerformAll>("all", slices.clone())
            .on_type_with::<Play>("play", stage.clone())
            .concurrency(1)
            .batch(batch)
            .retry(Backoff::exponential(Duration::from_secs(1), Duration::from_mins(1)).attempts(3))
            .hold(Duration::from_mins(1));
        let running = Running::start(&db.pool, consumer);
        let first = source.deliver(of_type("play", step("first", 0, Act::Wait)));
        stage.until_begun(1).await;
        Self {
            source,
            stage,
            slices,
            running,
            first,
        }
    }

    /// Delivers all of them before one of them runs.
    async fn deliver(&self, all: impl IntoIterator<Item = Incoming>) -> Vec<Delivered> {
        let all: Vec<_> = all
            .into_iter()
            .map(|incoming| self.source.deliver(incoming))
            .collect();
        self.source.wait_taken(1 + all.len()).await;
        self.stage.let_go(0);
        self.first.assert_settled(Settled::Acked).await;
        all
    }
}

fn of_type(kind: &str, mut incoming: Incoming) -> Incoming {
    incoming.kind = kind.into();
    incoming
}

/// A step of a key of its own.
fn own(n: u32, act: Act) -> Incoming {
    step(&format!("k{n}"), n, act)
}

async fn effects(db: &Db) -> Vec<u32> {
    let mut effects: Vec<u32> = db
        .effects()
        .await
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    effects.sort_unstable();
    effects
}

/// Guards: what is ready goes into one transaction, up to the size that was asked for.
#[tokio::test]
async fn a_batch_takes_what_is_ready_and_no_more_than_it_may() {
    let db = with_effects().await;
    let held = Held::start(&db, 20).await;
    let all = held
        .deliver((1..=50).map(|n| of_type("all", own(n, Act::Succeed))))
        .await;
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    let sizes: Vec<_> = held.slices.taken().iter().map(Vec::len).collect();
    assert_eq!(sizes, [20, 20, 10]);
    assert_eq!(effects(&db).await, (1..=50).collect::<Vec<_>>());
    // What was handled before is a duplicate, whatever it comes with.
    let again = held.source.deliver(of_type("all", own(7, Act::Succeed)));
    again.assert_settled(Settled::Acked).await;
    let stats = held.running.stop().await;
    assert_eq!((stats.handled, stats.failed), (52, 0));
    assert_eq!(effects(&db).await.len(), 50);
    db.assert_no_open_transaction().await;
}

/// Guards: a batch that failed names its member, which alone is counted and tried again.
#[tokio::test]
async fn one_that_fails_among_ordinary_handlers_costs_its_neighbours_nothing() {
    let db = with_effects().await;
    let held = Held::start(&db, 32).await;
    let acts = |n| match n {
        9 => Act::Fail,
        17 => Act::GiveUp,
        _ => Act::Succeed,
    };
    let all = held.deliver((1..=30).map(|n| own(n, acts(n)))).await;
    for (delivery, n) in all.iter().zip(1..) {
        if n != 9 {
            delivery.assert_settled(Settled::Acked).await;
        }
    }
    assert_eq!(letters(&db).await, 1);
    // It is written while its neighbours are acknowledged.
    within(async { while attempts(&db).await != ["step-9 1"] {} }).await;
    let begun = held.stage.begun().len();
    for again in 1..=2 {
        held.source.advance_to_next().await;
        held.stage.until_begun(begun + again).await;
    }
    let again = &held.stage.begun()[begun..];
    assert_eq!(again, [(9, 2), (9, 3)]);
    all[8].assert_settled(Settled::Acked).await;
    let stats = held.running.stop().await;
    assert_eq!(
        (stats.handled, stats.failed, stats.dead_lettered),
        (29, 2, 2)
    );
    let done: Vec<_> = (1..=30).filter(|n| *n != 9 && *n != 17).collect();
    assert_eq!(effects(&db).await, done);
    assert_eq!(attempts(&db).await, [""; 0]);
    db.assert_no_open_transaction().await;
}

/// Guards: the batch of a batch handler is halved until the poison stands alone, and it is never
/// given with others again.
#[tokio::test]
async fn a_poison_in_the_slice_of_a_batch_handler_is_found_and_stays_alone() {
    for (act, reason) in [
        (Act::Fail, "the step failed"),
        (Act::Panic, "the handler panicked"),
    ] {
        let db = with_effects().await;
        let held = Held::start(&db, 16).await;
        let acts = |n| if n == 11 { act } else { Act::Succeed };
        let all = held
            .deliver((1..=16).map(|n| of_type("all", own(n, acts(n)))))
            .await;
        for (delivery, n) in all.iter().zip(1..) {
            if n != 11 {
                delivery.assert_settled(Settled::Acked).await;
            }
        }
        // 16, then 8 and 8, of which the second has the poison, and so on: 9 transactions.
        assert_eq!(held.slices.taken().len(), 9, "{:?}", held.slices.taken());
        for again in 100..102 {
            held.source.advance_to_next().await;
            let with_others = held
                .source
                .deliver(of_type("all", own(again, Act::Succeed)));
            with_others.assert_settled(Settled::Acked).await;
        }
        all[10].assert_settled(Settled::Acked).await;
        let of_poison: Vec<_> = held
            .slices
            .taken()
            .into_iter()
            .skip(9)
            .filter(|slice| slice.contains(&11))
            .collect();
        assert_eq!(of_poison, [[11], [11]]);
        let stats = held.running.stop().await;
        assert_eq!(
            (stats.handled, stats.failed, stats.dead_lettered),
            (18, 2, 1)
        );
        assert_eq!(letters(&db).await, 1);
        let written = db.texts("SELECT reason FROM idem_dead_letters").await;
        assert_eq!(written, [reason]);
        assert_eq!(effects(&db).await.len(), 17);
        db.assert_no_open_transaction().await;
    }
}

/// Guards: what can't be decoded is no part of the transaction of the others.
#[tokio::test]
async fn one_that_cannot_be_decoded_is_a_dead_letter_and_the_others_are_handled() {
    let db = with_effects().await;
    let held = Held::start(&db, 16).await;
    let mut broken = own(3, Act::Succeed);
    broken.body = b"{".to_vec();
    let all = held
        .deliver([own(1, Act::Succeed), broken, own(2, Act::Succeed)])
        .await;
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    assert_eq!((letters(&db).await, effects(&db).await), (1, vec![1, 2]));
    held.running.stop().await;
}

/// Fails in its own way.
struct Fragile;

impl Decode<Step> for Fragile {
    fn decode(&self, incoming: &Incoming) -> Result<Step, Undecodable> {
        assert!(incoming.body != b"!", "as the message says");
        Json.decode(incoming)
    }
}

/// Guards: a panic outside of the body is one of that delivery, and not of its neighbours, whose
/// batch would be tried again for ever.
#[tokio::test]
async fn one_whose_decoding_panics_costs_its_neighbours_nothing() {
    let db = with_effects().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let consumer = Consumer::<_, Database>::new("steps", source.clone())
        .format(Fragile)
        .on_with::<Perform>(stage.clone())
        .on_type_with::<Play>("play", stage.clone())
        .concurrency(1)
        .batch(8)
        .retry(Backoff::exponential(Duration::from_secs(1), Duration::from_mins(1)).attempts(1));
    let running = Running::start(&db.pool, consumer);
    let first = source.deliver(of_type("play", step("first", 0, Act::Wait)));
    stage.until_begun(1).await;
    let mut broken = own(2, Act::Succeed);
    broken.body = b"!".to_vec();
    let all = [own(1, Act::Succeed), broken, own(3, Act::Succeed)];
    let all = all.map(|incoming| source.deliver(incoming));
    source.wait_taken(4).await;
    stage.let_go(0);
    first.assert_settled(Settled::Acked).await;
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    assert_eq!((letters(&db).await, effects(&db).await), (1, vec![1, 3]));
    running.stop().await;
}

/// Guards: at most one delivery of a lane is in a batch, and the next one follows it.
#[tokio::test]
async fn those_of_one_key_stay_in_order_over_batches() {
    let db = with_effects().await;
    let held = Held::start(&db, 16).await;
    let all = held
        .deliver((1..=24).map(|n| of_type("all", step(&format!("k{}", n % 4), n, Act::Succeed))))
        .await;
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    let mut by_key: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for slice in held.slices.taken() {
        let keys: BTreeSet<_> = slice.iter().map(|n| n % 4).collect();
        assert_eq!(keys.len(), slice.len(), "{slice:?}");
        for n in slice {
            by_key.entry(n % 4).or_default().push(n);
        }
    }
    assert!(by_key.values().all(|numbers| numbers.is_sorted()));
    assert_eq!(effects(&db).await.len(), 24);
    held.running.stop().await;
}

/// Guards: what may have ended the process is not given its neighbours.
#[tokio::test]
async fn what_was_delivered_before_has_a_transaction_of_its_own() {
    let db = with_effects().await;
    let held = Held::start(&db, 16).await;
    let all = held
        .deliver([
            of_type("all", own(1, Act::Succeed)),
            of_type("all", redelivered("k2", 2, Act::Succeed)),
            of_type("all", own(3, Act::Succeed)),
        ])
        .await;
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    let mut slices = held.slices.taken();
    slices.sort();
    assert_eq!(slices, [vec![1, 3], vec![2]]);
    held.running.stop().await;
}

/// Guards: a partition that is taken away interrupts a batch, and what is left of the batch runs
/// again.
#[tokio::test]
async fn a_batch_that_is_interrupted_for_one_partition_runs_again_for_the_others() {
    let db = with_effects().await;
    let held = Held::start(&db, 16).await;
    let all = [
        held.source.deliver_from(Partition(1), own(1, Act::Wait)),
        held.source.deliver_from(Partition(2), own(2, Act::Succeed)),
    ];
    held.source.wait_taken(3).await;
    held.stage.let_go(0);
    held.stage.until_begun(2).await;
    let handed_over = held.source.revoke([Partition(1)]);
    // Its time to end is over.
    held.source.advance_to_next().await;
    handed_over.wait().await;
    all[1].assert_settled(Settled::Acked).await;
    assert_eq!(all[0].settled(), Some(Settled::Dropped));
    assert_eq!(effects(&db).await, [2]);
    assert_eq!(attempts(&db).await, [""; 0]);
    held.running.stop().await;
    db.assert_no_open_transaction().await;
}
