//! Sound handlers of every shape: no run breaks a law.

use idem_runtime::{Classify, Disposition, Event, Outbox, Received, idempotent, outbox};
use idem_testing::{Explorer, FaultKind, Report, explore};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::template::{book, claim, credit, sql, template};
use super::{Conn, Db, FAILED, LOST, Pool};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payment {
    id: String,
}

impl Payment {
    fn one() -> Self {
        Self { id: "evt-1".into() }
    }
}

/// Behind a proxy a run begins as the clean one did, and none is planned that can't be carried out,
/// such as a failing ROLLBACK. In SQLite a statement may be done before it can be interrupted.
#[track_caller]
fn assert_each_came_to_its_point(report: &Report) {
    let text = report.to_string();
    assert!(
        text.contains(" on sqlite ") || !text.contains("ended before"),
        "{text}"
    );
}

/// Kinds that differ from another one in how a connection dies or in the error of a statement, and
/// not in what the database then holds.
const TWINS: [FaultKind; 3] = [
    FaultKind::TruncatedReply,
    FaultKind::SerializationFailure,
    FaultKind::Interrupted,
];

pub(super) fn without_twins(url: &str) -> Explorer {
    TWINS
        .into_iter()
        .fold(Explorer::new(url), Explorer::without)
}

/// Explores on a database of its own, in all kinds; or without the twins, for a shape of handler
/// that an error has no way of its own through.
macro_rules! holds {
    ($handler:ty) => {
        holds!($handler, Explorer::new);
    };
    ($handler:ty, without twins) => {
        holds!($handler, without_twins);
    };
    ($handler:ty, $explorer:expr) => {
        let template = template().await;
        let report = $explorer(template.url());
        let report = report.run::<$handler>(&Payment::one()).await;
        report.assert_holds();
        assert_each_came_to_its_point(&report);
        // Behind a proxy the statements of `idem-runtime` are named by what they are for.
        let unnamed = |step: &&String| step.contains("idem_") && !step.starts_with("after ");
        let unnamed: Vec<_> = report.steps().iter().filter(unnamed).collect();
        assert!(unnamed.is_empty(), "{unnamed:#?}");
    };
}

#[idempotent(key = "event.id", scope = "sound.applied", handler = Applied)]
async fn applied(tx: &mut Conn, event: &Payment) -> Result<String, sqlx::Error> {
    credit(tx).await?;
    book(tx, &event.id).await?;
    Ok("applied".into())
}

#[tokio::test]
async fn an_effect_with_a_result() {
    let template = template().await;
    let report = explore::<Applied>(template.url(), &Payment::one()).await;
    report.assert_holds();
    let runs = report.runs();
    assert!(
        runs.keys().all(|kind| *kind != FaultKind::Killed),
        "{runs:?}"
    );
    assert_eq!(runs[&FaultKind::Sequential], 1);
    assert!(runs[&FaultKind::Dropped] >= 3, "{runs:?}");
    assert!(report.steps().len() >= 4, "{:?}", report.steps());
    for kind in runs.keys().filter(|kind| kind.name().starts_with("cut")) {
        assert_eq!(runs[kind], report.steps().len() as u64, "{kind}");
    }
    assert!(
        report
            .mask()
            .iter()
            .any(|column| column.starts_with("idem_keys.created_at")),
        "{:?}",
        report.mask()
    );
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "sound.booked", key = "id")]
struct Booked {
    id: String,
    line: u32,
}

#[idempotent(key = "event.id", scope = "sound.emits", handler = Emits)]
#[outbox]
async fn emits(
    tx: &mut Conn,
    outbox: &mut Outbox<Booked>,
    event: &Payment,
) -> Result<(), sqlx::Error> {
    credit(tx).await?;
    for line in 1..=2 {
        outbox.emit(&Booked {
            id: event.id.clone(),
            line,
        });
    }
    Ok(())
}

#[tokio::test]
async fn events_of_an_outbox() {
    holds!(Emits);
}

#[idempotent(key = "event.id", scope = "sound.is_event", handler = IsEvent)]
#[outbox(topic = "sound.registered", key = "event.id")]
async fn is_event(tx: &mut Conn, event: &Payment) -> Result<Payment, sqlx::Error> {
    book(tx, &event.id).await?;
    Ok(event.clone())
}

#[tokio::test]
async fn a_result_that_is_the_event() {
    holds!(IsEvent, without twins);
}

#[idempotent(key = "event.id", scope = "sound.skips", on_duplicate = "skip", handler = Skips)]
async fn skips(tx: &mut Conn, event: &Payment) -> Result<(), sqlx::Error> {
    book(tx, &event.id).await
}

#[tokio::test]
async fn a_duplicate_that_is_skipped() {
    holds!(Skips, without twins);
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum Rejected {
    #[error("the account is closed")]
    Closed,
    #[error("the database: {0}")]
    Database(String),
}

impl From<sqlx::Error> for Rejected {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl Classify for Rejected {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Closed => Disposition::Ack,
            Self::Database(_) => Disposition::Retry,
        }
    }
}

#[idempotent(key = "event.id", scope = "sound.records", on_error = "record", handler = Records)]
async fn records(tx: &mut Conn, event: &Payment) -> Result<(), Rejected> {
    book(tx, &event.id).await?;
    Err(Rejected::Closed)
}

#[tokio::test]
async fn a_permanent_error_that_is_recorded() {
    holds!(Records);
}

#[idempotent(key = "event.id", scope = "sound.retries", retry = 3, handler = Retries)]
async fn retries(tx: &mut Conn, event: &Payment) -> Result<(), sqlx::Error> {
    credit(tx).await?;
    book(tx, &event.id).await
}

#[tokio::test]
async fn a_conflict_that_is_tried_again() {
    holds!(Retries);
}

#[idempotent(key = "event.id", scope = "sound.numbers", handler = Numbers)]
async fn numbers(tx: &mut Conn, event: &Payment) -> Result<i64, sqlx::Error> {
    let order = place(tx, &event.id).await?;
    for article in ["bread", "salt"] {
        sql(
            tx,
            format!("INSERT INTO articles (order_id, article) VALUES ({order}, '{article}')"),
        )
        .await?;
    }
    Ok(7)
}

async fn place(tx: &mut Conn, customer: &str) -> Result<i64, sqlx::Error> {
    let token = Uuid::now_v7();
    let insert = format!(
        "INSERT INTO orders (customer, token) VALUES ('{customer}', '{token}') RETURNING id"
    );
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
        .fetch_one(tx)
        .await?;
    row.try_get(0)
}

#[tokio::test]
async fn rows_that_the_database_numbers_and_others_refer_to() {
    holds!(Numbers, without twins);
}

#[idempotent(
    key = "event.id",
    scope = "sound.guarded",
    fingerprint = "event.id.len() as u64",
    hash_key,
    retention = "30d",
    in_flight = "wait 10s",
    handler = Guarded
)]
async fn guarded(tx: &mut Conn, event: &Payment) -> Result<(), sqlx::Error> {
    book(tx, &event.id).await
}

#[tokio::test]
async fn a_fingerprint_a_hashed_key_and_a_retention() {
    holds!(Guarded, without twins);
}

#[idempotent(key = "event.id", scope = "sound.nests", handler = Nests)]
async fn nests(tx: &mut Conn, event: &Payment) -> Result<(), sqlx::Error> {
    let mut nested = tx.begin().await?;
    book(&mut nested, &event.id).await?;
    nested.commit().await?;
    let mut undone = tx.begin().await?;
    credit(&mut undone).await?;
    undone.rollback().await
}

#[tokio::test]
async fn nested_transactions_that_end() {
    holds!(Nests, without twins);
}

#[idempotent(key = "event.id", scope = "sound.calls", handler = Calls)]
async fn calls(tx: &mut Conn, event: &Payment) -> Result<String, anyhow::Error> {
    credit(tx).await?;
    Ok(applied(&mut *tx, event).await?.into_inner())
}

#[tokio::test]
async fn a_handler_that_calls_another_in_its_transaction() {
    holds!(Calls, without twins);
}

#[idempotent(key = "event.id", scope = "sound.received", handler = TakesEnvelope)]
async fn takes_envelope(tx: &mut Conn, event: &Received<Payment>) -> Result<(), sqlx::Error> {
    book(tx, &event.data.id).await?;
    sql(tx, format!("INSERT INTO seen (id) VALUES ('{}')", event.id)).await
}

#[tokio::test]
async fn an_envelope_and_a_context() {
    let template = template().await;
    let received = Received::new("delivery-1", Payment::one());
    without_twins(template.url())
        .run_received::<TakesEnvelope>(received, |_| ())
        .await
        .assert_holds();
}

/// What careful people write by hand, and what the attribute generates.
async fn by_hand(pool: Pool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if !claim(&mut tx, "evt-1").await? {
        return tx.rollback().await;
    }
    credit(&mut tx).await?;
    sql(&mut tx, "INSERT INTO outbox VALUES ('evt-1/0', 'credited')").await?;
    sql(
        &mut tx,
        "UPDATE seen SET result = 'done' WHERE id = 'evt-1'",
    )
    .await?;
    tx.commit().await
}

#[tokio::test]
async fn careful_code_by_hand() {
    let template = template().await;
    // Without the drops: sqlx's own `begin`, dropped half way, leaves a transaction open in the
    // pool (sqlx #4385).
    let explorer = Explorer::new(template.url()).without(FaultKind::Dropped);
    let report = explorer.run_with::<Db, _, _, _>(by_hand).await;
    report.assert_holds();
    assert_each_came_to_its_point(&report);
}

#[idempotent(key = "event.id", scope = "sound.deletes", handler = Deletes)]
async fn deletes(tx: &mut Conn, event: &Payment) -> Result<(), sqlx::Error> {
    book(tx, &event.id).await?;
    sql(tx, "DELETE FROM accounts WHERE id = 1").await?;
    sql(tx, "INSERT INTO accounts VALUES (2, 100)").await
}

#[tokio::test]
async fn rows_that_go_and_rows_that_come() {
    holds!(Deletes, without twins);
}

#[idempotent(key = "event.id", scope = "sound.five", handler = Five)]
async fn five(tx: &mut Conn, event: &Payment) -> Result<i64, sqlx::Error> {
    for prepared in [
        "UPDATE accounts SET balance = balance - 5 WHERE id = 1",
        "INSERT INTO outbox VALUES ('evt-1/0', 'debited')",
        "INSERT INTO seen (id) VALUES ('evt-1')",
        "INSERT INTO payments (id, amount) VALUES ('evt-1', 5)",
    ] {
        sqlx::query(prepared).execute(&mut *tx).await?;
    }
    let _ = event;
    let balance = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = 1");
    balance.fetch_one(&mut *tx).await
}

/// What the guide says about its cost.
#[tokio::test]
async fn five_prepared_statements() {
    holds!(Five);
}

/// Concurrent runs do not disturb each other: they are the same as one after the other.
#[tokio::test]
async fn one_run_after_the_other() {
    let template = template().await;
    let runs = async |concurrency| {
        let explorer = Explorer::new(template.url()).concurrency(concurrency);
        let explorer = explorer.fault_kinds([LOST, FAILED, FaultKind::Concurrent]);
        let report = explorer.run_with::<Db, _, _, _>(by_hand).await;
        report.assert_holds();
        report.runs().clone()
    };
    assert_eq!(runs(1).await, runs(5).await);
}

#[tokio::test]
async fn double_faults() {
    let template = template().await;
    let explorer = Explorer::new(template.url())
        .double_faults(60)
        .fault_kinds([
            FaultKind::CutReply,
            FaultKind::CutRequest,
            FaultKind::DroppedMidStatement,
            FaultKind::FailedWrite,
        ]);
    explorer.run::<Emits>(&Payment::one()).await.assert_holds();
}

/// The process is this test, run again by its name.
#[tokio::test]
async fn processes_that_are_killed() {
    let template = template().await;
    let explorer = Explorer::new(template.url())
        .fault_kinds([FaultKind::Sequential])
        .kill();
    let report = explorer.run::<Emits>(&Payment::one()).await;
    report.assert_holds();
    assert!(report.runs()[&FaultKind::Killed] >= 3, "{report}");
}
