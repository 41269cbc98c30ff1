//! The proof can fail: each fault that is planted into the databases of a sound run is named.

use std::fs;
use std::path::Path;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::tempdir;

use crate::program::{Ran, run, shop};

/// A database, what is done to it, the last words of the run, and what is named.
const FAULTS: [(&str, &str, &str, &str); 10] = [
    (
        "ledger.db",
        "INSERT INTO entries (order_id, account, version, cents)
         SELECT order_id, account, version, cents FROM entries WHERE number = 5",
        "doubled=1 lost=0 reordered=0",
        "2 entries in the ledger",
    ),
    (
        "ledger.db",
        "DELETE FROM entries WHERE number = 5",
        "doubled=0 lost=1 reordered=0",
        "in the ledger",
    ),
    (
        "orders.db",
        "INSERT INTO orders SELECT * FROM orders WHERE cancelled IS NULL LIMIT 1",
        "doubled=1 lost=0 reordered=0",
        "in orders.db",
    ),
    (
        "orders.db",
        "DELETE FROM orders WHERE rowid = (SELECT min(rowid) FROM orders WHERE cancelled IS NULL)",
        "doubled=0 lost=1 reordered=0 wrong=2",
        "which a client was promised",
    ),
    (
        "ledger.db",
        "UPDATE entries SET number = 0 WHERE number = (SELECT max(number) FROM entries WHERE account = 'bob')",
        // All others of that account came after it.
        "doubled=0 lost=0 reordered=",
        "of bob was entered after change",
    ),
    (
        "ledger.db",
        "UPDATE entries SET cents = cents + 1 WHERE number = (SELECT min(number) FROM entries WHERE cents > 0)",
        "doubled=0 lost=0 reordered=0 wrong=1",
        "orders.db says",
    ),
    (
        "ledger.db",
        "INSERT INTO entries (order_id, account, version, cents) VALUES ('unheard-of', 'zoe', 1, 5)",
        "doubled=0 lost=0 reordered=0 wrong=1",
        "order unheard-of (placed): in the ledger, and not in orders.db",
    ),
    (
        "ledger.db",
        "UPDATE accounts SET cents = cents - 1 WHERE id = 'bob'",
        "doubled=0 lost=0 reordered=0 wrong=1",
        "account bob",
    ),
    (
        "orders.db",
        "INSERT INTO idem_outbox (id, topic, type, content_type, headers, payload)
         VALUES (randomblob(16), 'orders.placed', 'OrderPlaced', 'application/json', '{}', X'7b7d')",
        "doubled=0 lost=0 reordered=0 wrong=1",
        "1 events still in the outbox",
    ),
    (
        "ledger.db",
        "INSERT INTO idem_dead_letters
             (origin, name, source, id, topic, type, payload, content_type, headers, created_at, attempts, reason)
         VALUES ('consumer', 'ledger', '/', 'e1', 't', 'OrderPlaced', X'', '', '{}', 0, 8, 'the account is closed')",
        "doubled=0 lost=0 reordered=0 wrong=1",
        "the account is closed",
    ),
];

#[test]
fn each_planted_fault_is_named_and_fails_the_run() {
    let folder = tempdir().unwrap();
    let sound = folder.path().join("sound");
    let ran = run(shop()
        .args(["--orders", "80", "--seed", "7", "--data"])
        .arg(&sound));
    assert!(ran.succeeded, "{ran:?}");
    let once_more = prove(&sound);
    assert!(once_more.succeeded, "{once_more:?}");
    assert_eq!(once_more.last_line(), ran.last_line());

    for (number, (database, statement, verdict, culprit)) in FAULTS.into_iter().enumerate() {
        let broken = folder.path().join(number.to_string());
        fs::create_dir(&broken).unwrap();
        for name in ["orders.db", "ledger.db", "answered.jsonl"] {
            fs::copy(sound.join(name), broken.join(name)).unwrap();
        }
        plant(&broken.join(database), statement);
        let ran = prove(&broken);
        assert!(!ran.succeeded, "{statement}: {ran:?}");
        assert!(ran.last_line().contains(verdict), "{statement}: {ran:?}");
        assert!(ran.stderr.contains(culprit), "{statement}: {ran:?}");
    }
}

fn prove(folder: &Path) -> Ran {
    run(shop().arg("prove").arg(folder))
}

#[tokio::main(flavor = "current_thread")]
async fn plant(database: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let done = sqlx::raw_sql(statement)
        .execute(&mut database)
        .await
        .unwrap();
    assert!(done.rows_affected() == 1, "{statement}");
    database.close().await.unwrap();
}
