//! Batches: handlers that are broken on purpose, each by a mistake of handlers of many events, and
//! sound ones.

use std::collections::HashSet;
use std::sync::Mutex;

use idem_runtime::{BatchOutbox, Event, Handler, Outbox, Received, idempotent, outbox};
use idem_testing::{Explorer, FaultKind, Report, ViolationKind, explore_batch};
use serde::{Deserialize, Serialize};

use super::sound::without_twins;
use super::template::{assert_found, book, sql, template};
use super::{CUT, Conn, Db, FAILED, LOST, Pool};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payment {
    id: String,
}

fn payments() -> [Payment; 3] {
    ["evt-2", "evt-1", "evt-3"].map(|id| Payment { id: id.into() })
}

#[derive(Debug, Serialize, Event)]
#[event(topic = "batches.booked", key = "id")]
struct Booked {
    id: String,
}

impl Booked {
    fn of(payment: &Payment) -> Self {
        let id = payment.id.clone();
        Self { id }
    }
}

/// The effects of all of them in one statement.
async fn book_all(tx: &mut Conn, payments: &[&Payment], amount: usize) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = payments
        .iter()
        .map(|payment| format!("('{}', {amount})", payment.id))
        .collect();
    let rows = rows.join(", ");
    sql(
        tx,
        format!("INSERT INTO payments (id, amount) VALUES {rows}"),
    )
    .await
}

fn receipt(payment: &Payment) -> String {
    format!("booked {}", payment.id)
}

/// The mistake shows in clean runs.
async fn found_without_any_fault<H>()
where
    H: Handler<Database = Db, Message = Payment, Context = ()>,
    H: Handler<Output: std::fmt::Debug, Replay: std::fmt::Debug, Error: std::fmt::Debug>,
{
    let template = template().await;
    let report = explore_batch::<H>(template.url(), &payments()).await;
    assert_found(&report, ViolationKind::DependsOnBatch, &[None]);
    let text = report.to_string();
    assert!(text.contains("delivered in one batch, without any fault"));
    assert!(text.contains("each alone, then all in one batch"), "{text}");
    assert!(report.runs().is_empty(), "{text}");
}

/// As a query without `ORDER BY` may.
#[idempotent(
    key = "payment.id",
    scope = "explorer.sorted",
    batch = "payment in payments",
    handler = Sorted
)]
async fn sorted(tx: &mut Conn, payments: &[&Payment]) -> Result<Vec<String>, sqlx::Error> {
    book_all(tx, payments, 5).await?;
    let mut receipts: Vec<_> = payments.iter().map(|payment| receipt(payment)).collect();
    receipts.sort();
    Ok(receipts)
}

#[tokio::test]
async fn results_in_another_order_than_the_slice_are_found_without_any_fault() {
    found_without_any_fault::<Sorted>().await;
}

#[idempotent(
    key = "payment.id",
    scope = "explorer.misplaced",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = Misplaced
)]
#[outbox]
async fn misplaced(
    tx: &mut Conn,
    outbox: &mut BatchOutbox<Booked>,
    payments: &[&Payment],
) -> Result<(), sqlx::Error> {
    book_all(tx, payments, 5).await?;
    for payment in payments {
        outbox.of(0).emit(&Booked::of(payment));
    }
    Ok(())
}

#[tokio::test]
async fn an_event_under_the_place_of_another_message_is_found_without_any_fault() {
    found_without_any_fault::<Misplaced>().await;
}

#[idempotent(
    key = "payment.id",
    scope = "explorer.shared",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = Shared
)]
async fn shared(tx: &mut Conn, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    book_all(tx, payments, 30 / payments.len()).await
}

#[tokio::test]
async fn an_amount_that_is_shared_among_a_batch_is_found_without_any_fault() {
    found_without_any_fault::<Shared>().await;
}

#[idempotent(
    key = "payment.id",
    scope = "explorer.only_the_first",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = OnlyTheFirst
)]
async fn only_the_first(tx: &mut Conn, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    book(tx, &payments[0].id).await
}

#[tokio::test]
async fn a_batch_of_which_one_message_alone_is_handled_is_found_without_any_fault() {
    found_without_any_fault::<OnlyTheFirst>().await;
}

#[idempotent(
    key = "payment.id",
    scope = "explorer.two_at_least",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = TwoAtLeast
)]
async fn two_at_least(tx: &mut Conn, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    if payments.len() < 2 {
        return Err(sqlx::Error::RowNotFound);
    }
    book_all(tx, payments, 5).await
}

#[tokio::test]
async fn a_message_that_fails_alone_is_found_without_any_fault() {
    found_without_any_fault::<TwoAtLeast>().await;
}

type Remembered = Mutex<HashSet<String>>;

/// Remembers what it has booked outside of the database.
#[idempotent(
    key = "payment.id",
    scope = "explorer.remembered",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = Remembers
)]
async fn remembers(
    tx: &mut Conn,
    payments: &[&Payment],
    remembered: &Remembered,
) -> Result<(), sqlx::Error> {
    for payment in payments {
        let is_new = remembered.lock().unwrap().insert(payment.id.clone());
        if is_new {
            book(tx, &payment.id).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_memory_of_a_batch_that_failed_is_found_when_a_statement_fails() {
    let template = template().await;
    let explorer = Explorer::new(template.url()).fault_kinds([FAILED]);
    let report = explorer.run_batch::<Remembers>(&payments()).await;
    let found = report.violations();
    println!("{report}");
    assert!(!found.is_empty() && report.setup_error().is_none());
    assert!(found.iter().all(|violation| {
        violation
            .fault()
            .is_some_and(|fault| fault.kind() == FAILED)
    }));
}

/// Books on a connection of its own.
#[idempotent(
    key = "payment.id",
    scope = "explorer.elsewhere",
    batch = "payment in payments",
    on_duplicate = "skip",
    handler = Elsewhere
)]
async fn elsewhere(tx: &mut Conn, payments: &[&Payment], pool: &Pool) -> Result<(), sqlx::Error> {
    let (first, rest) = payments.split_first().expect("no batch is empty");
    let mut other = pool.acquire().await?;
    book(&mut other, &first.id).await?;
    if rest.is_empty() {
        return Ok(());
    }
    book_all(tx, rest, 5).await
}

#[tokio::test]
async fn a_part_of_a_batch_on_another_connection_is_found_when_it_is_cut() {
    // In SQLite the other connection waits for this one.
    if CUT != FaultKind::CutRequest {
        return;
    }
    let template = template().await;
    let explorer = Explorer::new(template.url()).fault_kinds([CUT]);
    let received = payments().map(|payment| Received::new(payment.id.clone(), payment));
    let report = explorer
        .run_batch_received::<Elsewhere>(received.into(), Pool::clone)
        .await;
    assert_found(&report, ViolationKind::PartialCommit, &[Some(CUT)]);
}

#[tokio::test]
async fn one_message_is_no_batch() {
    let template = template().await;
    let report = explore_batch::<Sorted>(template.url(), &payments()[..1]).await;
    let error = report.setup_error().unwrap();
    assert!(error.contains("two messages or more"), "{error}");
}

/// No run finds a violation, and each message is booked.
#[track_caller]
fn assert_sound(report: &Report) {
    report.assert_holds();
    for kind in [LOST, FAILED, FaultKind::Sequential, FaultKind::Concurrent] {
        assert!(report.runs().contains_key(&kind), "{kind}: {report}");
    }
}

fn explorer(url: &str) -> Explorer {
    let kinds = [LOST, FAILED, FaultKind::Sequential, FaultKind::Concurrent];
    Explorer::new(url).fault_kinds(kinds)
}

/// Rows with generated identifiers, results, events.
#[idempotent(
    key = "payment.id",
    scope = "sound.batch",
    batch = "payment in payments",
    handler = Batch
)]
#[outbox]
async fn batch(
    tx: &mut Conn,
    outbox: &mut BatchOutbox<Booked>,
    payments: &[&Payment],
) -> Result<Vec<String>, sqlx::Error> {
    book_all(tx, payments, 5).await?;
    for payment in payments {
        let id = &payment.id;
        sql(tx, format!("INSERT INTO orders (customer) VALUES ('{id}')")).await?;
    }
    for (place, payment) in payments.iter().enumerate().rev() {
        outbox.of(place).emit(&Booked::of(payment));
    }
    Ok(payments.iter().map(|payment| receipt(payment)).collect())
}

#[tokio::test]
async fn a_batch_with_results_and_events() {
    let template = template().await;
    let report = without_twins(template.url());
    assert_sound(&report.run_batch::<Batch>(&payments()).await);
}

#[idempotent(
    key = "payment.id",
    scope = "sound.batch_skips",
    batch = "payment in payments",
    on_duplicate = "skip",
    retry = 2,
    hash_key,
    handler = BatchSkips
)]
async fn batch_skips(tx: &mut Conn, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    book_all(tx, payments, 5).await
}

/// A duplicate among them, too.
#[tokio::test]
async fn a_batch_without_results() {
    let template = template().await;
    let [a, b, c] = payments();
    let payments = [a.clone(), b, a, c];
    assert_sound(
        &explorer(template.url())
            .run_batch::<BatchSkips>(&payments)
            .await,
    );
}

#[idempotent(key = "payment.id", scope = "sound.in_a_batch", handler = InABatch)]
#[outbox]
async fn in_a_batch(
    tx: &mut Conn,
    outbox: &mut Outbox<Booked>,
    payment: &Payment,
) -> Result<String, sqlx::Error> {
    book(tx, &payment.id).await?;
    outbox.emit(&Booked::of(payment));
    Ok(receipt(payment))
}

#[tokio::test]
async fn an_ordinary_handler_in_a_batch() {
    let template = template().await;
    assert_sound(
        &explorer(template.url())
            .run_batch::<InABatch>(&payments())
            .await,
    );
}
