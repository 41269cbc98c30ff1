//! Handlers that are broken on purpose. Each test is named after the mistake, and says in which mode it is found.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use idem_runtime::testing::{Breach, Explorer, Mode, Report, explore};
use idem_runtime::{Begin, Error, Handler, Outcome, Received, idempotent};
use sqlx::Connection as _;
use uuid::Uuid;

use super::template::{assert_found, book, claim, credit, sql, template};
use super::{BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, Db, LOST, Pool, REFUSED};

type Handled = Result<(), sqlx::Error>;

async fn explored(handler: impl AsyncFn(Pool) -> Handled) -> Report {
    let template = template().await;
    Explorer::new(template.url()).run_with(handler).await
}

#[tokio::test]
async fn no_claim_is_found_when_delivered_again() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    assert_found(
        &report.await,
        Breach::Doubled,
        &[Some(Mode::InARow), Some(Mode::AtOnce), Some(LOST)],
    );
}

#[tokio::test]
async fn a_claim_in_its_own_transaction_is_found_when_the_process_dies_behind_it() {
    let report = explored(async |pool: Pool| {
        if !claim(&mut *pool.acquire().await?, "evt-1").await? {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        tx.commit().await
    });
    assert_found(
        &report.await,
        Breach::Torn,
        &[Some(CUT), Some(LOST), Some(REFUSED), Some(Mode::Dropped)],
    );
}

#[tokio::test]
async fn an_effect_through_the_pool_is_found_when_the_transaction_fails() {
    let report = explored(async |pool: Pool| {
        book(&mut *pool.acquire().await?, "evt-1").await?;
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    });
    assert_found(
        &report.await,
        Breach::Torn,
        &[Some(CUT), Some(LOST), Some(Mode::Dropped)],
    );
}

#[tokio::test]
async fn check_then_act_is_found_when_delivered_at_once() {
    let report = explored(async |pool: Pool| {
        let handled: i64 = sqlx::query_scalar("SELECT count(*) FROM payments WHERE id = 'evt-1'")
            .fetch_one(&pool)
            .await?;
        if handled > 0 {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    assert_found(&report.await, Breach::Doubled, &[Some(Mode::AtOnce)]);
}

#[tokio::test]
async fn an_outbox_outside_of_the_transaction_is_found_when_the_process_dies_before_it() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        credit(&mut tx).await?;
        tx.commit().await?;
        sql(
            &mut *pool.acquire().await?,
            "INSERT INTO outbox VALUES ('evt-1', 'credited')",
        )
        .await
    });
    assert_found(
        &report.await,
        Breach::Torn,
        &[Some(CUT), Some(Mode::Dropped)],
    );
}

#[tokio::test]
async fn a_swallowed_error_is_found_when_a_statement_fails() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        let _ = credit(&mut tx).await;
        tx.commit().await
    });
    let report = report.await;
    println!("{report}");
    assert!(report.violations().iter().any(|violation| {
        violation
            .fault()
            .is_some_and(|fault| fault.mode() == REFUSED)
    }));
}

#[tokio::test]
async fn a_swallowed_commit_is_found_when_it_fails() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            let _ = tx.commit().await;
        }
        Ok(())
    });
    assert_found(
        &report.await,
        Breach::Lost,
        if CUT == Mode::CutRequest {
            &[Some(Mode::CutRequest)]
        } else {
            &[]
        },
    );
}

#[idempotent(key = "id", scope = "explorer.commits", handler = Commits)]
async fn commits(tx: &mut Conn, id: &String) -> Result<(), sqlx::Error> {
    credit(tx).await?;
    sql(tx, "COMMIT").await?;
    book(tx, id).await
}

#[tokio::test]
async fn a_commit_inside_is_found_without_any_fault() {
    let template = template().await;
    let report = explore::<Commits>(template.url(), &"evt-1".to_owned()).await;
    assert_found(&report, Breach::Stuck, &[None]);
    assert!(
        report.violations()[0].found()[0].contains("RolledBack"),
        "{report}"
    );
}

#[tokio::test]
async fn a_result_that_is_stored_after_commit_is_found_when_the_process_dies_in_between() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        credit(&mut tx).await?;
        tx.commit().await?;
        sql(
            &mut *pool.acquire().await?,
            "UPDATE seen SET result = 'done' WHERE id = 'evt-1'",
        )
        .await
    });
    assert_found(
        &report.await,
        Breach::Torn,
        &[Some(CUT), Some(Mode::Dropped)],
    );
}

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
    assert_found(&report, Breach::NotDeterministic, &[None]);
    let ignoring = Explorer::new(template.url()).ignore("idem_keys.key");
    let report = ignoring.run::<Clocked>(&clock).await;
    assert_found(&report, Breach::Doubled, &[Some(Mode::InARow)]);
}

/// Remembers what it has handled beside the database.
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
    let report = explore::<InMemory>(template.url(), &"evt-1".to_owned()).await;
    assert_found(&report, Breach::Lost, &[Some(CUT), Some(REFUSED)]);
    assert_found(&report, Breach::Doubled, &[Some(Mode::InARow)]);
}

#[tokio::test]
async fn an_effect_in_memory_is_found_without_any_fault() {
    static TOTAL: AtomicI64 = AtomicI64::new(100);
    let report = explored(async |pool: Pool| {
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
    assert_found(&report.await, Breach::NotDeterministic, &[None]);
}

#[tokio::test]
async fn ddl_is_found_where_it_commits() {
    let template = template().await;
    // Without the drops: sqlx's own `begin`, dropped half way, leaves a transaction open in the pool (sqlx #4385).
    let explorer = Explorer::new(template.url()).without(Mode::Dropped);
    let report = explorer.run_with(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        sql(&mut tx, "CREATE TABLE log_of_today (id varchar(64))").await?;
        credit(&mut tx).await?;
        tx.commit().await
    });
    let report = report.await;
    if DDL_COMMITS {
        assert_found(&report, Breach::Torn, &[Some(CUT), Some(REFUSED)]);
    } else {
        report.assert_holds();
    }
}

#[tokio::test]
async fn a_nested_begin_is_found_where_it_ends_the_outer_transaction() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        sql(&mut tx, "BEGIN").await?;
        credit(&mut tx).await?;
        sql(&mut tx, "COMMIT").await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    let report = report.await;
    if BEGIN_COMMITS {
        assert_found(&report, Breach::Torn, &[Some(CUT), Some(LOST)]);
    } else {
        assert_found(&report, Breach::Stuck, &[None]);
    }
}

#[idempotent(key = "id", scope = "explorer.leaks", handler = Leaks)]
async fn leaks(tx: &mut Conn, id: &String) -> Result<(), sqlx::Error> {
    let mut nested = tx.begin().await?;
    book(&mut nested, id).await?;
    std::mem::forget(nested);
    Ok(())
}

#[tokio::test]
async fn a_leaked_nested_transaction_is_found_without_any_fault() {
    let template = template().await;
    let report = explore::<Leaks>(template.url(), &"evt-1".to_owned()).await;
    assert_found(&report, Breach::Stuck, &[None]);
}

#[tokio::test]
async fn an_ack_before_commit_is_found_when_the_commit_is_lost() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tokio::spawn(tx.commit());
        }
        Ok(())
    });
    let mode = if CUT == Mode::CutRequest {
        Mode::CutRequest
    } else {
        Mode::Interrupted
    };
    assert_found(&report.await, Breach::Lost, &[Some(mode)]);
}

#[tokio::test]
async fn minted_event_ids_are_found_without_any_fault() {
    let report = explored(async |pool: Pool| {
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
    assert_found(&report.await, Breach::EventIds, &[None]);
}

#[tokio::test]
async fn a_transaction_that_nobody_ends_is_found_when_the_call_is_cut_short() {
    let report = explored(async |pool: Pool| {
        let mut conn = pool.acquire().await?;
        sql(&mut conn, "BEGIN").await?;
        if claim(&mut conn, "evt-1").await? {
            credit(&mut conn).await?;
        }
        sql(&mut conn, "COMMIT").await
    });
    let mode = if CUT == Mode::CutRequest {
        Mode::Dropped
    } else {
        Mode::DroppedInside
    };
    assert_found(&report.await, Breach::LeftOpen, &[Some(mode)]);
}

/// Cure: a report without a run is trouble, not a success.
#[tokio::test]
async fn an_exploration_that_visits_nothing_does_not_hold() {
    let template = template().await;
    let explorer = Explorer::new(template.url()).modes([]);
    let report = explorer.run::<Commits>(&"evt-1".to_owned()).await;
    assert!(!report.holds());
    let report = explorer
        .run_with(async |pool: Pool| book(&mut *pool.acquire().await?, "evt-1").await)
        .await;
    assert!(!report.holds(), "{report}");
    assert!(
        report.trouble().unwrap().contains("no point was visited"),
        "{report}"
    );
}

/// Cure: where a clean run changes nothing, every comparison would find what it expects.
#[tokio::test]
async fn a_delivery_that_changes_nothing_does_not_hold() {
    let report = explored(async |pool: Pool| {
        let nobody = "UPDATE accounts SET balance = balance + 5 WHERE id = 404";
        sql(&mut *pool.acquire().await?, nobody).await
    });
    let report = report.await;
    assert!(!report.holds(), "{report}");
    assert!(
        report.trouble().unwrap().contains("changed nothing"),
        "{report}"
    );
}
