//! Payments that are delivered too often, out of order, and to processes that get killed: each
//! takes effect once.
//!
//! ```console
//! cargo run --example quickstart
//! cargo run --example quickstart -- postgres://user@localhost/bank --deliveries 50000
//! ```
//!
//! This process plays the message broker (`src/broker.rs`). It starts itself again as the consumer,
//! kills that midway, starts another, and delivers again what was not acknowledged. Then it audits
//! what is in the database and in the file of published events (`src/audit.rs`).

use std::collections::BTreeSet;
use std::iter;
use std::process::ExitCode;

use anyhow::Context as _;
use idem_examples::arguments::Arguments;
use idem_examples::audit::State;
use idem_examples::report::{Summary, progress, table};
use idem_examples::target::{Database, Target};
use idem_examples::{broker, consumer};
use idem_runtime::broker::JsonLines;
use idem_runtime::{Event, Relay};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// What is delivered. The producer minted the ID: every delivery of this payment has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payment {
    id: String,
    account: String,
    cents: i64,
}

/// What is published. Events of one account are published in the order of their commits.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "payments.applied", key = "account")]
struct PaymentApplied {
    payment: String,
    account: String,
    balance: i64,
}

/// What the handler returns, to a duplicate as well.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    balance: i64,
}

// A service has one database, and one of these three modules. A handler names the connection it
// works on, since its SQL is that database's, too: hence three handlers here and not one that is
// generic.

mod sqlite {
    use idem_runtime::{Outbox, idempotent, outbox};
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool};

    use super::{Payment, PaymentApplied, Receipt};

    #[idempotent(key = "payment.id")]
    #[outbox]
    pub(super) async fn apply_payment(
        tx: &mut SqliteConnection,
        outbox: &mut Outbox<PaymentApplied>,
        payment: &Payment,
    ) -> Result<Receipt, sqlx::Error> {
        let Payment { id, account, cents } = payment;
        sqlx::query("INSERT INTO quickstart_ledger (payment, account, cents) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(account)
            .bind(cents)
            .execute(&mut *tx)
            .await?;
        let balance = sqlx::query_scalar(
            "UPDATE quickstart_accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance",
        )
        .bind(cents)
        .bind(account)
        .fetch_one(&mut *tx)
        .await?;
        outbox.emit(&PaymentApplied {
            payment: id.clone(),
            account: account.clone(),
            balance,
        });
        Ok(Receipt { balance })
    }

    // The ledger has no unique constraint, so that a payment which is applied twice can show.
    pub(super) const TABLES: &str = "
        CREATE TABLE IF NOT EXISTS quickstart_accounts (id text PRIMARY KEY, balance bigint NOT NULL);
        CREATE TABLE IF NOT EXISTS quickstart_ledger (payment text NOT NULL, account text NOT NULL, cents bigint NOT NULL);
        INSERT INTO quickstart_accounts VALUES ('alice', 0), ('bob', 0), ('carol', 0), ('dave', 0)
            ON CONFLICT (id) DO NOTHING";

    pub(super) async fn connect(options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
        // With a write-ahead log, who reads does not wait for who writes.
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        SqlitePool::connect_with(options).await
    }
}

mod postgres {
    use idem_runtime::{Outbox, idempotent, outbox};
    use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};

    use super::{Payment, PaymentApplied, Receipt};

    #[idempotent(key = "payment.id")]
    #[outbox]
    pub(super) async fn apply_payment(
        tx: &mut PgConnection,
        outbox: &mut Outbox<PaymentApplied>,
        payment: &Payment,
    ) -> Result<Receipt, sqlx::Error> {
        let Payment { id, account, cents } = payment;
        sqlx::query("INSERT INTO quickstart_ledger (payment, account, cents) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(account)
            .bind(cents)
            .execute(&mut *tx)
            .await?;
        let balance = sqlx::query_scalar(
            "UPDATE quickstart_accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance",
        )
        .bind(cents)
        .bind(account)
        .fetch_one(&mut *tx)
        .await?;
        outbox.emit(&PaymentApplied {
            payment: id.clone(),
            account: account.clone(),
            balance,
        });
        Ok(Receipt { balance })
    }

    pub(super) const TABLES: &str = super::sqlite::TABLES;

    pub(super) async fn connect(options: PgConnectOptions) -> sqlx::Result<PgPool> {
        PgPool::connect_with(options).await
    }
}

mod mysql {
    use idem_runtime::{Outbox, idempotent, outbox};
    use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};

    use super::{Payment, PaymentApplied, Receipt};

    #[idempotent(key = "payment.id")]
    #[outbox]
    pub(super) async fn apply_payment(
        tx: &mut MySqlConnection,
        outbox: &mut Outbox<PaymentApplied>,
        payment: &Payment,
    ) -> Result<Receipt, sqlx::Error> {
        let Payment { id, account, cents } = payment;
        sqlx::query("INSERT INTO quickstart_ledger (payment, account, cents) VALUES (?, ?, ?)")
            .bind(id)
            .bind(account)
            .bind(cents)
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE quickstart_accounts SET balance = balance + ? WHERE id = ?")
            .bind(cents)
            .bind(account)
            .execute(&mut *tx)
            .await?;
        let balance = sqlx::query_scalar("SELECT balance FROM quickstart_accounts WHERE id = ?")
            .bind(account)
            .fetch_one(&mut *tx)
            .await?;
        outbox.emit(&PaymentApplied {
            payment: id.clone(),
            account: account.clone(),
            balance,
        });
        Ok(Receipt { balance })
    }

    pub(super) const TABLES: &str = "
        CREATE TABLE IF NOT EXISTS quickstart_accounts (id varchar(50) PRIMARY KEY, balance bigint NOT NULL);
        CREATE TABLE IF NOT EXISTS quickstart_ledger
            (payment varchar(50) NOT NULL, account varchar(50) NOT NULL, cents bigint NOT NULL);
        INSERT INTO quickstart_accounts VALUES ('alice', 0), ('bob', 0), ('carol', 0), ('dave', 0)
            ON DUPLICATE KEY UPDATE balance = balance";

    pub(super) async fn connect(options: MySqlConnectOptions) -> sqlx::Result<MySqlPool> {
        MySqlPool::connect_with(options).await
    }
}

/// Deliveries that are handled at the same time.
const WORKERS: usize = 8;

/// The consumer: what a service does. (A macro, since sqlx has no type for "a pool of one of these
/// databases".)
macro_rules! consume {
    ($database:ident, $options:expr, $events:expr) => {{
        let pool = $database::connect($options).await?;
        let relay = Relay::new(pool.clone(), JsonLines::file($events));
        let stop = CancellationToken::new();
        let publishing = tokio::spawn(relay.run(stop.clone().cancelled_owned()));

        consumer::serve(WORKERS, |payment: Payment| {
            let pool = pool.clone();
            async move {
                let outcome = $database::apply_payment(&pool, &payment).await?;
                Ok::<_, idem_runtime::Error<sqlx::Error>>(outcome.is_executed())
            }
        })
        .await?;

        stop.cancel();
        publishing.await??;
        relay.drain().await?;
        Ok(ExitCode::SUCCESS)
    }};
}

/// The broker's side: sets up the database, lets the broker deliver, and reads what is in the books
/// before and after.
macro_rules! run {
    ($database:ident, $options:expr, $deliver:expr) => {{
        let pool = $database::connect($options).await?;
        idem_runtime::migrate(&pool).await?;
        sqlx::raw_sql($database::TABLES).execute(&pool).await?;
        let before = sqlx::query_as(BOOKS).fetch_all(&pool).await?;
        let pending = sqlx::query_scalar(PENDING).fetch_all(&pool).await?;
        let tally = $deliver.await?;
        let after = sqlx::query_as(BOOKS).fetch_all(&pool).await?;
        (before, pending, tally, after)
    }};
}

/// Each account with each entry of its ledger.
const BOOKS: &str = "
    SELECT accounts.id, accounts.balance, ledger.payment, ledger.cents FROM quickstart_accounts AS accounts
    LEFT JOIN quickstart_ledger AS ledger ON ledger.account = accounts.id";

/// What an earlier run left to publish.
const PENDING: &str = "SELECT payload FROM idem_outbox";

const USAGE: &str = "\
usage: quickstart [DATABASE] [--deliveries N] [--seed N] [--events FILE]
DATABASE is a path or a URL: sqlite:, postgres: or mysql:";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = ["--deliveries", "--seed", "--events", "--consumer"];
    let arguments = Arguments::parse(std::env::args().skip(1), 1, &options).context(USAGE)?;
    let events = arguments.option("--events")?;

    if let Some(address) = arguments.option::<String>("--consumer")? {
        let target = Target::new(Some(&address), events)?;
        return match target.database {
            Database::Sqlite(options) => consume!(sqlite, options, &target.events),
            Database::Postgres(options) => consume!(postgres, options, &target.events),
            Database::MySql(options) => consume!(mysql, options, &target.events),
        };
    }

    let target = Target::new(arguments.at(0), events)?;
    let count = arguments.option("--deliveries")?.unwrap_or(10_000);
    let seed = arguments
        .option("--seed")?
        .unwrap_or_else(|| rand::random_range(0..1_000_000));
    target.reach().await?;
    println!("{target}\n{count} deliveries, --seed {seed}\n");

    let payments = payments(count, seed);
    let program = std::env::current_exe()?;
    let consumer = || {
        let mut command = Command::new(&program);
        command
            .arg("--consumer")
            .arg(&target.address)
            .arg("--events")
            .arg(&target.events);
        command
    };
    let bar = progress(count);
    let deliver = broker::deliver(&payments, seed, consumer, || bar.inc(1));

    let subject = |event: PaymentApplied| event.payment;
    let before = State::read(Vec::new(), &target.events, subject)?;
    let (books, pending, tally, books_after) = match target.database.clone() {
        Database::Sqlite(options) => run!(sqlite, options, deliver),
        Database::Postgres(options) => run!(postgres, options, deliver),
        Database::MySql(options) => run!(mysql, options, deliver),
    };
    bar.finish_and_clear();
    let before = State { books, ..before };
    let elsewhere = before.published_elsewhere(&pending, subject);
    let after = State::read(books_after, &target.events, subject)?;

    let delivered: BTreeSet<_> = payments.iter().map(|payment| payment.id.clone()).collect();
    let summary = Summary::new(&delivered, &before, &after, &elsewhere, tally.replayed);
    let unacknowledged = summary.executed.saturating_sub(tally.executed);
    let lines = after.lines - before.lines;
    println!(
        "  payments   {:>7}  distinct; the producer minted their IDs
  executed   {:>7}  took effect; {unacknowledged} of them unacknowledged, since the consumer died or the call was dropped
  replayed   {:>7}  got the result of the first delivery
  cut short  {:>7}  calls dropped at one of their await points, delivered again
  failed     {:>7}  calls that returned an error, delivered again
  killed     {:>7}  consumers, by SIGKILL; what they held was delivered again
  published  {:>7}  events, in {lines} lines: one that is published again keeps its ID
",
        delivered.len(),
        summary.executed,
        summary.replayed,
        tally.cut,
        tally.failed,
        tally.killed,
        summary.published,
    );
    table(&after.totals(), "cents");
    Ok(summary.conclude())
}

/// The payments of all deliveries: 7 in 10 are distinct, in any order.
fn payments(count: usize, seed: u64) -> Vec<Payment> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let accounts = ["alice", "bob", "carol", "dave"];
    let payments: Vec<_> = iter::repeat_with(|| Payment {
        id: uuid::Builder::from_random_bytes(rng.random())
            .into_uuid()
            .to_string(),
        account: accounts[rng.random_range(0..accounts.len())].into(),
        cents: rng.random_range(1..100_000),
    })
    .take((count * 7).div_ceil(10))
    .collect();
    broker::shuffle(payments, count, rng)
}
