//! What is in the two databases, read afresh, and what the clients were told.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// An order that the service has answered for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) order: String,
    pub(crate) account: String,
    pub(crate) cents: i64,
    /// What the first answer said.
    pub(crate) placed: i64,
    /// What the answer to the cancellation said, if there was one.
    pub(crate) cancelled: Option<i64>,
}

/// A row of `orders`.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) cents: i64,
    pub(crate) placed: i64,
    pub(crate) cancelled: Option<i64>,
    /// In milliseconds.
    pub(crate) at: i64,
}

/// A row of the ledger's `entries`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) order_id: String,
    pub(crate) account: String,
    pub(crate) version: i64,
    pub(crate) cents: i64,
    /// In milliseconds.
    pub(crate) at: i64,
}

/// Everything that the proof looks at.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) answered: Vec<Answered>,
    /// In the order of their commits.
    pub(crate) orders: Vec<Order>,
    /// In the order of their commits.
    pub(crate) entries: Vec<Entry>,
    /// What the ledger says of each account.
    pub(crate) balances: Vec<(String, i64)>,
    pub(crate) waiting: Waiting,
    /// Dead letters of both services, each with its reason.
    pub(crate) dead_letters: Vec<String>,
    /// Messages whose attempts are remembered.
    pub(crate) attempts: i64,
}

/// What has not arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Changes in `orders.db` that have no entry in `ledger.db`, by their number.
    pub(crate) entries: i64,
    /// Events in the outbox of orders.
    pub(crate) outbox: i64,
    /// Messages in the inbox of the ledger, also those that its consumer has put aside.
    pub(crate) inbox: i64,
}

impl Waiting {
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Asks both databases.
    pub(crate) async fn read(folder: &Path) -> Result<Self> {
        let (mut orders, mut ledger) = open(folder).await?;
        let changes: i64 = sqlx::query_scalar("SELECT count(*) + count(cancelled) FROM orders")
            .fetch_one(&mut orders)
            .await?;
        let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM entries")
            .fetch_one(&mut ledger)
            .await?;
        Ok(Self {
            entries: (changes - entries).max(0),
            outbox: sqlx::query_scalar("SELECT count(*) FROM idem_outbox")
                .fetch_one(&mut orders)
                .await?,
            inbox: sqlx::query_scalar("SELECT count(*) FROM idem_inbox WHERE done_at IS NULL")
                .fetch_one(&mut ledger)
                .await?,
        })
    }
}

impl Books {
    pub(crate) async fn read(folder: &Path) -> Result<Self> {
        const ORDERS: &str =
            "SELECT id, account, cents, placed, cancelled, at FROM orders ORDER BY rowid";
        const ENTRIES: &str =
            "SELECT order_id, account, version, cents, at FROM entries ORDER BY number";
        let waiting = Waiting::read(folder).await?;
        let (mut orders, mut ledger) = open(folder).await?;
        let (mut dead_letters, mut attempts) = (Vec::new(), 0);
        for (name, database) in [("orders", &mut orders), ("ledger", &mut ledger)] {
            const LETTERS: &str = "SELECT type, id, reason FROM idem_dead_letters ORDER BY number";
            let letters: Vec<(String, String, String)> =
                sqlx::query_as(LETTERS).fetch_all(&mut *database).await?;
            let letters = letters
                .iter()
                .map(|(kind, id, reason)| format!("{name}: {kind} {id}: {reason}"));
            dead_letters.extend(letters);
            attempts += sqlx::query_scalar::<_, i64>("SELECT count(*) FROM idem_attempts")
                .fetch_one(&mut *database)
                .await?;
        }
        let rows: Vec<(String, String, i64, i64, Option<i64>, i64)> =
            sqlx::query_as(ORDERS).fetch_all(&mut orders).await?;
        let orders = rows
            .into_iter()
            .map(|(id, account, cents, placed, cancelled, at)| Order {
                id,
                account,
                cents,
                placed,
                cancelled,
                at,
            });
        let rows: Vec<(String, String, i64, i64, i64)> =
            sqlx::query_as(ENTRIES).fetch_all(&mut ledger).await?;
        let entries = rows
            .into_iter()
            .map(|(order_id, account, version, cents, at)| Entry {
                order_id,
                account,
                version,
                cents,
                at,
            });
        Ok(Self {
            answered: answered(folder)?,
            orders: orders.collect(),
            entries: entries.collect(),
            balances: sqlx::query_as("SELECT id, cents FROM accounts ORDER BY id")
                .fetch_all(&mut ledger)
                .await?,
            waiting,
            dead_letters,
            attempts,
        })
    }
}

/// Connections of their own to both databases.
async fn open(folder: &Path) -> Result<(SqliteConnection, SqliteConnection)> {
    let open = async |name: &str| {
        let file = folder.join(name);
        let options = SqliteConnectOptions::new().filename(&file);
        SqliteConnection::connect_with(&options)
            .await
            .with_context(|| format!("can't open {}", file.display()))
    };
    Ok((open("orders.db").await?, open("ledger.db").await?))
}

/// What the clients were told, in this and in earlier runs.
fn answered(folder: &Path) -> Result<Vec<Answered>> {
    let text = match fs::read_to_string(folder.join("answered.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Writes down what the clients were told.
pub(crate) fn write_answered(folder: &Path, answered: &[Answered]) -> Result<()> {
    let mut text = Vec::new();
    for answer in answered {
        serde_json::to_writer(&mut text, answer)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("answered.jsonl"))?;
    file.write_all(&text)?;
    Ok(())
}
