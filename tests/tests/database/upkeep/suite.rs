//! The same for each database.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{Backlog, Error, UpkeepOptions, backlog, migrate, spawn_upkeep};
use idem_tests::server::Database;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::{KEY, PAYLOAD, Pool, ago, database, id};

const WITHIN: Duration = Duration::from_secs(20);

async fn migrated() -> (Database, Pool) {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    (database, pool)
}

async fn execute(pool: &Pool, sql: &str) {
    let sql = raw_sql(AssertSqlSafe(sql.to_owned()));
    sql.execute(pool).await.unwrap();
}

async fn count(pool: &Pool, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let row = raw_sql(AssertSqlSafe(sql)).fetch_one(pool).await;
    row.unwrap().get(0)
}

/// Keys that expired a second ago.
async fn expired(pool: &Pool, keys: std::ops::Range<u32>) {
    let scope = if KEY == "key" { "'s'" } else { "X'73'" };
    let rows: Vec<_> = keys
        .map(|n| {
            let key = id(n);
            let key = if PAYLOAD.starts_with('X') {
                key
            } else {
                format!("decode(replace({key}, '-', ''), 'hex')")
            };
            format!("({scope}, {key}, {})", ago(1))
        })
        .collect();
    let insert = format!(
        "INSERT INTO idem_keys (scope, {KEY}, expires_at) VALUES {}",
        rows.join(", ")
    );
    execute(pool, &insert).await;
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn until_purged(pool: &Pool) {
    until("the keys are deleted", || async {
        count(pool, "idem_keys").await == 0
    })
    .await;
}

fn often() -> UpkeepOptions {
    let often = Duration::from_millis(20);
    UpkeepOptions::default()
        .purge_every(often)
        .measure_every(often)
}

/// Guards: the loop over batches, and that instances which purge at once give way to each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_delete_what_has_expired_and_go_on() {
    let (_database, pool) = migrated().await;
    let instances: Vec<_> = (0..4)
        .map(|_| spawn_upkeep(pool.clone(), often()))
        .collect();
    for _ in 0..3 {
        expired(&pool, 0..2_500).await;
        until_purged(&pool).await;
    }
    for instance in instances {
        instance.stop().await;
    }
    expired(&pool, 0..10).await;
    assert_eq!(count(&pool, "idem_keys").await, 10);
}

/// Guards: an error is survived, and the next attempt comes soon.
#[tokio::test]
async fn an_error_ends_nothing() {
    let (_database, pool) = migrated().await;
    execute(&pool, "ALTER TABLE idem_keys RENAME TO elsewhere").await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = idem_tests::subscribe(subscriber);
    let upkeep = spawn_upkeep(pool.clone(), often());
    until("an error is logged", || async {
        log.warns("could not be deleted") > 1
    })
    .await;
    execute(&pool, "ALTER TABLE elsewhere RENAME TO idem_keys").await;
    expired(&pool, 0..10).await;
    until_purged(&pool).await;
    upkeep.stop().await;
    assert_eq!(log.warns("idem_keys"), log.warns("could not be deleted"));
    assert_eq!(log.warns(""), log.warns("next_attempt_in"));
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn warns(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let warns = log.lines().filter(|line| line.contains(" WARN "));
        warns.filter(|line| line.contains(text)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Guards: the handle's drop, and the end with the pool.
#[tokio::test]
async fn it_ends_with_its_handle_or_its_pool() {
    let (_database, pool) = migrated().await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    drop(spawn_upkeep(pool.clone(), often()));
    until("a dropped handle ends it", || async { alive() <= before }).await;
    let upkeep = spawn_upkeep(pool.clone(), UpkeepOptions::default());
    upkeep.stop().await;
    until("it has stopped", || async { alive() <= before }).await;
    let upkeep = spawn_upkeep(pool.clone(), often());
    pool.close().await;
    until("a closed pool ends it", || async {
        format!("{upkeep:?}") == "Upkeep { ended: true, .. }"
    })
    .await;
}

async fn event(pool: &Pool, n: u32, topic: &str, age: u32) {
    let insert = format!(
        "INSERT INTO idem_outbox (id, topic, type, payload, content_type, headers, created_at) \
         VALUES ({}, '{topic}', 'T', {PAYLOAD}, 'application/json', '{{}}', {})",
        id(n),
        ago(age),
    );
    execute(pool, &insert).await;
}

async fn dead_letter(pool: &Pool, n: u32, topic: &str) {
    let insert = format!(
        "INSERT INTO idem_dead_letters \
         (origin, name, source, id, topic, type, payload, content_type, headers, created_at, attempts, reason) \
         VALUES ('relay', 'default', '', '{n}', '{topic}', 'T', {PAYLOAD}, 'application/json', '{{}}', {}, 20, 'no')",
        ago(900),
    );
    execute(pool, &insert).await;
}

fn assert_about(age: Option<Duration>, seconds: u64) {
    let age = age.expect("something waits").as_secs();
    assert!((seconds..seconds + 60).contains(&age), "{age} s");
}

/// Guards: a dead letter is counted apart, by topic.
#[tokio::test]
async fn a_backlog_says_what_waits_since_when_and_what_was_given_up() {
    let (_database, pool) = migrated().await;
    assert_eq!(backlog(&pool).await.unwrap(), Backlog::default());
    event(&pool, 1, "orders", 100).await;
    event(&pool, 2, "orders", 500).await;
    event(&pool, 4, "Mails", 300).await;
    dead_letter(&pool, 6, "orders").await;
    dead_letter(&pool, 7, "gone").await;
    let found = backlog(&pool).await.unwrap();
    assert_eq!((found.pending, found.dead_letters), (3, 2));
    assert_about(found.oldest, 500);
    let topics: Vec<_> = found
        .topics
        .iter()
        .map(|topic| (&*topic.topic, topic.pending, topic.dead_letters))
        .collect();
    assert_eq!(topics, [("Mails", 1, 0), ("gone", 0, 1), ("orders", 2, 1)]);
    assert_about(found.topics[0].oldest, 300);
    assert_eq!(found.topics[1].oldest, None);
    assert_about(found.topics[2].oldest, 500);
}

#[tokio::test]
async fn a_backlog_without_tables_says_so() {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    let missing = backlog(&pool).await;
    assert!(matches!(missing, Err(Error::NotMigrated)), "{missing:?}");
}

/// Guards: gauges are set by topic, and one whose topic has nothing left goes to 0.
#[tokio::test]
async fn upkeep_sets_gauges_and_counts_what_it_deletes() {
    let (_database, pool) = migrated().await;
    let recorder = Kept::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    event(&pool, 1, "orders", 100).await;
    dead_letter(&pool, 2, "orders").await;
    expired(&pool, 0..1_234).await;
    let upkeep = spawn_upkeep(pool.clone(), often());
    let gauge = |name| recorder.number(name, "orders").map(f64::from_bits);
    let [pending, oldest, dead] = [
        "idem_outbox_pending",
        "idem_outbox_oldest_age_seconds",
        "idem_dead_letters",
    ];
    until("the gauges are set", || async {
        gauge(pending) == Some(1.0) && gauge(dead) == Some(1.0)
    })
    .await;
    let age = gauge(oldest).unwrap();
    assert!((100.0..160.0).contains(&age), "{age}");
    execute(&pool, "DELETE FROM idem_outbox").await;
    execute(&pool, "DELETE FROM idem_dead_letters").await;
    until("the gauges go to 0", || async {
        [pending, oldest, dead].map(gauge) == [Some(0.0); 3]
    })
    .await;
    until("the keys are counted", || async {
        recorder.number("idem_purged_keys_total", "") == Some(1_234)
    })
    .await;
    assert_eq!(count(&pool, "idem_keys").await, 0);
    assert_eq!(recorder.number("idem_purged_attempts_total", ""), Some(0));
    upkeep.stop().await;
}

/// Keeps counters and gauges by name and label; the debugging recorder forgets a gauge that it has
/// shown.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>);

impl Kept {
    fn number(&self, name: &str, label: &str) -> Option<u64> {
        let numbers = self.0.lock().unwrap();
        let number = numbers.get(&(name.to_owned(), label.to_owned()))?;
        Some(number.load(Ordering::Relaxed))
    }

    fn register(&self, key: &Key) -> Arc<AtomicU64> {
        let label = key.labels().map(|label| label.value().to_owned()).collect();
        let mut numbers = self.0.lock().unwrap();
        Arc::clone(numbers.entry((key.name().to_owned(), label)).or_default())
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
