//! Handlers whose effect depends on more than the message. Each test is named after the mistake.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use idem_runtime::{__private, Begin, Error, Handler, Identity, Outcome, Received, idempotent};
use idem_testing::{Explorer, FaultKind, ViolationKind, explore};
use uuid::Uuid;

use super::template::{assert_found, claim, credit, explored, sql, template};
use super::{CUT, Conn, Db, FAILED, Pool};

#[idempotent(key = "clock()", scope = "explorer.clocked", handler = Clocked)]
async fn clocked(tx: &mut Conn, clock: &Clock) -> Result<(), sqlx::Error> {
    credit(tx).await
}

type Clock = fn() -> String;

fn now() -> String {
    format!("{:?}", SystemTime::now())
}

#[tokio::test]
async fn a_key_from_the_clock_is_found_without_any_fault_and_when_delivered_again() {
    let template = template().await;
    let clock: Clock = now;
    let report = explore::<Clocked>(template.url(), &clock).await;
    assert_found(&report, ViolationKind::NotDeterministic, &[None]);
    let ignoring = Explorer::new(template.url())
        .ignore("idem_keys.key")
        .fault_kinds([FaultKind::Sequential]);
    let report = ignoring.run::<Clocked>(&clock).await;
    assert_found(
        &report,
        ViolationKind::DuplicateEffect,
        &[Some(FaultKind::Sequential)],
    );
}

/// Remembers what it has handled outside of the database.
struct InMemory;

#[derive(Debug, Default)]
struct Remembered(Mutex<HashSet<String>>);

impl Handler for InMemory {
    type Database = Db;
    type Message = String;
    type Context = Remembered;
    type Output = ();
    type Replay = ();
    type Error = sqlx::Error;

    const SCOPE: &'static str = "explorer.in_memory";
    const RETENTION: Option<Duration> = None;
    const HASH_KEY: bool = false;

    fn identity(message: &Received<String>, _: &Remembered) -> Identity {
        __private::identity(__private::key(&message.data), None, false)
    }

    fn replayer() -> __private::Replayer<(), (), sqlx::Error> {
        __private::Replayer::new(__private::skip(), __private::rollback(), 1)
    }

    async fn call<B: Begin<Conn>>(
        begin: B,
        message: &Received<String>,
        Remembered(handled): &Remembered,
    ) -> Result<Outcome<()>, Error<sqlx::Error>> {
        if !handled.lock().unwrap().insert(message.data.clone()) {
            return Ok(Outcome::Replayed(()));
        }
        let pool = begin.pool().expect("explored on a pool");
        let effect = async {
            let mut tx = pool.begin().await?;
            credit(&mut tx).await?;
            tx.commit().await
        };
        let effect = effect.await.map(Outcome::Executed);
        effect.map_err(|error| Error::Handler {
            error,
            replayed: false,
        })
    }
}

#[tokio::test]
async fn a_memory_beside_the_database_is_found_when_it_is_ahead_and_when_it_is_gone() {
    let template = template().await;
    let explorer = Explorer::new(template.url());
    let explorer = explorer.fault_kinds([CUT, FAILED, FaultKind::Sequential]);
    let report = explorer.run::<InMemory>(&"evt-1".to_owned()).await;
    assert_found(&report, ViolationKind::Lost, &[Some(CUT), Some(FAILED)]);
    assert_found(
        &report,
        ViolationKind::DuplicateEffect,
        &[Some(FaultKind::Sequential)],
    );
}

#[tokio::test]
async fn an_effect_in_memory_is_found_without_any_fault() {
    static TOTAL: AtomicI64 = AtomicI64::new(100);
    let report = explored(&[FaultKind::Sequential], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        let total = TOTAL.fetch_add(5, Ordering::Relaxed);
        sql(
            &mut tx,
            format!("UPDATE accounts SET balance = {total} WHERE id = 1"),
        )
        .await?;
        tx.commit().await
    });
    assert_found(&report.await, ViolationKind::NotDeterministic, &[None]);
}

#[tokio::test]
async fn minted_event_ids_are_found_without_any_fault() {
    let report = explored(&[FaultKind::Sequential], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        credit(&mut tx).await?;
        sql(
            &mut tx,
            format!(
                "INSERT INTO outbox VALUES ('{}', 'credited')",
                Uuid::now_v7()
            ),
        )
        .await?;
        tx.commit().await
    });
    assert_found(&report.await, ViolationKind::UnstableEventId, &[None]);
}
