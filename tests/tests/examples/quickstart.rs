//! Payments take effect once, and the audit would tell if they did not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use idem_tests::server::{self, Database};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::program::{Ran, program, run};

/// 300 deliveries of 210 payments.
fn quickstart(database: &str, events: &Path) -> Command {
    let mut command = program("quickstart");
    command
        .args([database, "--deliveries", "300", "--seed", "7", "--events"])
        .arg(events);
    command
}

fn payments_take_effect_once(database: &Database) {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");

    let first = run(&mut quickstart(database.url(), &events));
    assert!(first.succeeded, "{first:?}");
    let replayed = first.told("replayed");
    let expected = format!(
        "delivered={} executed=210 replayed={replayed} published=210 doubled=0 lost=0",
        210 + replayed
    );
    assert_eq!(first.last_line(), expected);
    // A payment that took effect without an acknowledgement was replayed once more than it was
    // delivered again.
    assert!(replayed >= 90, "{first:?}");

    // The same payments again.
    let second = run(&mut quickstart(database.url(), &events));
    let replayed = second.told("replayed");
    let expected =
        format!("delivered={replayed} executed=0 replayed={replayed} published=0 doubled=0 lost=0");
    assert_eq!(
        (second.succeeded, second.last_line()),
        (true, expected.as_str())
    );
    assert_eq!(replayed, 300);

    // A file of events that an earlier run did not write.
    let elsewhere = run(&mut quickstart(
        database.url(),
        &folder.path().join("other.jsonl"),
    ));
    assert_eq!(
        (elsewhere.succeeded, elsewhere.last_line()),
        (true, expected.as_str())
    );
}

#[test]
fn payments_take_effect_once_on_sqlite() {
    payments_take_effect_once(&server::sqlite());
}

#[tokio::test]
async fn payments_take_effect_once_on_postgresql() {
    payments_take_effect_once(&server::postgres().database().await);
}

#[tokio::test]
async fn payments_take_effect_once_on_mariadb() {
    payments_take_effect_once(&server::mariadb().database().await);
}

#[test]
fn quickstart_needs_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(program("quickstart")
        .args(["--deliveries", "100"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path()));
    assert!(ran.succeeded, "{ran:?}");
    assert_eq!(
        (ran.told("executed"), ran.told("doubled"), ran.told("lost")),
        (70, 0, 0)
    );
    assert!(
        ran.stdout.contains(folder.path().to_str().unwrap()),
        "{ran:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // No progress bar where there is no terminal.
    assert_eq!(ran.stderr, "");
}

/// What a broken handler or relay would leave behind, and the quickstart's verdict on it in its
/// next run.
async fn verdict_on(
    sql: &'static str,
    edit: impl FnOnce(Vec<Value>) -> Vec<Value>,
) -> (Ran, [usize; 4]) {
    let database = server::sqlite();
    let events = PathBuf::from(format!("{}.events.jsonl", database.name()));
    assert!(run(&mut quickstart(database.url(), &events)).succeeded);

    let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let lines = fs::read_to_string(&events).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lines: String = edit(lines)
        .into_iter()
        .map(|line| line.to_string() + "\n")
        .collect();
    fs::write(&events, lines).unwrap();

    let ran = run(&mut quickstart(database.url(), &events));
    let told = ["executed", "published", "doubled", "lost"].map(|name| ran.told(name));
    (ran, told)
}

/// What a handler without a key does. Its events have the same IDs again, since these are made of
/// the keys.
#[tokio::test]
async fn payments_without_their_claims_are_applied_again_and_told_as_doubled() {
    let sql = "DELETE FROM idem_keys; DELETE FROM idem_outbox";
    let (ran, told) = verdict_on(sql, |lines| lines).await;
    assert_eq!((ran.succeeded, told), (false, [210, 0, 210, 0]), "{ran:?}");
    assert!(ran.stderr.ends_with("doubled: 205 more\n"), "{ran:?}");
}

#[tokio::test]
async fn a_second_entry_in_the_ledger_is_told_as_doubled() {
    let sql = "INSERT INTO quickstart_ledger SELECT * FROM quickstart_ledger LIMIT 1";
    let (ran, told) = verdict_on(sql, |lines| lines).await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 1, 0]), "{ran:?}");
}

#[tokio::test]
async fn a_balance_above_its_ledger_is_told_as_doubled() {
    let sql = "UPDATE quickstart_accounts SET balance = balance + 1 WHERE id = 'bob'";
    let (ran, told) = verdict_on(sql, |lines| lines).await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 1, 0]), "{ran:?}");
    assert_eq!(ran.stderr, "doubled: bob\n");
}

#[tokio::test]
async fn a_balance_below_its_ledger_is_told_as_lost() {
    let sql = "UPDATE quickstart_accounts SET balance = balance - 1 WHERE id = 'bob'";
    let (ran, told) = verdict_on(sql, |lines| lines).await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 0, 1]), "{ran:?}");
    assert_eq!(ran.stderr, "lost: bob\n");
}

#[tokio::test]
async fn a_payment_without_effect_is_told_as_lost() {
    let sql = "
        UPDATE quickstart_accounts SET balance = balance - (SELECT cents FROM quickstart_ledger WHERE rowid = 1)
        WHERE id = (SELECT account FROM quickstart_ledger WHERE rowid = 1);
        DELETE FROM quickstart_ledger WHERE rowid = 1";
    let (ran, told) = verdict_on(sql, |lines| lines).await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 0, 1]), "{ran:?}");
}

#[tokio::test]
async fn a_payment_without_event_is_told_as_lost() {
    let (ran, told) = verdict_on("SELECT 1", |mut lines| {
        // Not its first line alone: a relay that was killed before it marked the event published it
        // twice.
        let lost = lines[0]["id"].clone();
        lines.retain(|line| line["id"] != lost);
        lines
    })
    .await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 0, 1]), "{ran:?}");
}

#[tokio::test]
async fn two_event_ids_of_one_payment_are_told_as_doubled() {
    let (ran, told) = verdict_on("SELECT 1", |mut lines| {
        let mut second = lines[0].clone();
        second["id"] = json!("00000000-0000-8000-8000-000000000000");
        lines.push(second);
        lines
    })
    .await;
    assert_eq!((ran.succeeded, told), (false, [0, 0, 1, 0]), "{ran:?}");
}

#[tokio::test]
async fn an_event_published_twice_under_one_id_is_not_doubled() {
    let (ran, told) = verdict_on("SELECT 1", |lines| [lines.clone(), lines].concat()).await;
    assert_eq!((ran.succeeded, told), (true, [0, 0, 0, 0]), "{ran:?}");
}
