//! A consumer and an inbox with a backlog, of few keys and of many: messages a second whose effect
//! is committed.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use idem_tests::server::{self, MariaDb, Options, Postgres};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::args::Args;
use crate::stats::quantile;

/// How many messages wait.
const MESSAGES: u64 = 20_000;

const KEYS: [u64; 2] = [8, 1_000];

/// What is not handled by then is left out.
const LIMIT: Duration = Duration::from_secs(40);

const CONCURRENCY: u8 = 8;

#[derive(Deserialize)]
struct Drained {
    id: String,
    account: u64,
}

/// What each database writes its own way.
struct Dialect {
    blob: fn(&str) -> String,
    now: &'static str,
    key: &'static str,
}

/// Adds some of the messages that wait.
fn insert(dialect: &Dialect, keys: u64, round: usize, numbers: Range<u64>) -> String {
    let Dialect { blob, now, key } = dialect;
    let rows = numbers.map(|n| {
        let (account, id) = (n % keys, format!("{keys}-{round}-{n}"));
        let lane = blob(&hexed(&Sha256::digest(account.to_string())[..16]));
        let body = blob(&hexed(format!(r#"{{"id":"{id}","account":{account}}}"#).as_bytes()));
        format!("('inbox', 'bench', {lane}, {now}, '/', '{id}', '', '{account}', 'drained', {body}, '', '{{}}', {now})")
    });
    format!(
        "INSERT INTO idem_inbox \
         (origin, name, lane, due_at, source, id, topic, {key}, type, payload, content_type, headers, created_at) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    )
}

fn hexed(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hexed, byte| {
        let _ = write!(hexed, "{byte:02x}");
        hexed
    })
}

/// The handler, and one round, on one database.
macro_rules! database {
    ($name:ident, $database:ty, $connection:ty, $pool:ty, $scope:literal, $dialect:expr) => {
        mod $name {
            use std::time::Instant;

            use anyhow::Result;
            use idem_runtime::{Consumer, Inbox, idempotent};
            use sqlx::{AssertSqlSafe, Row as _, raw_sql};
            use tokio_util::sync::CancellationToken;

            use crate::inbox::{CONCURRENCY, Dialect, Drained, LIMIT, MESSAGES, insert};

            #[idempotent(key = "drained.id", scope = $scope, handler = Drain)]
            async fn drained(tx: &mut $connection, drained: &Drained) -> Result<(), sqlx::Error> {
                let effect = format!(
                    "UPDATE drained SET messages = messages + 1 WHERE id = {}",
                    drained.account
                );
                raw_sql(AssertSqlSafe(effect)).execute(&mut *tx).await?;
                Ok(())
            }

            async fn run(pool: &sqlx::Pool<$database>, sql: String) -> Result<()> {
                raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
                Ok(())
            }

            async fn left(pool: &sqlx::Pool<$database>) -> Result<u64> {
                let left = raw_sql("SELECT count(*) FROM idem_inbox WHERE done_at IS NULL");
                let left: i64 = left.fetch_one(pool).await?.try_get(0)?;
                Ok(left.unsigned_abs())
            }

            pub(super) async fn pool(url: &str) -> Result<sqlx::Pool<$database>> {
                // Two are the consumer's own, and one counts.
                let pool = <$pool>::new().max_connections(u32::from(CONCURRENCY) + 3);
                let pool = pool.connect(url).await?;
                idem_runtime::migrate(&pool).await?;
                run(
                    &pool,
                    "CREATE TABLE drained (id bigint PRIMARY KEY, messages bigint NOT NULL)".into(),
                )
                .await?;
                let rows: Vec<_> = (0..1_000).map(|id| format!("({id}, 0)")).collect();
                run(
                    &pool,
                    format!("INSERT INTO drained VALUES {}", rows.join(", ")),
                )
                .await?;
                Ok(pool)
            }

            /// Messages a second.
            pub(super) async fn round(
                pool: &sqlx::Pool<$database>,
                keys: u64,
                round: usize,
            ) -> Result<f64> {
                let dialect: Dialect = $dialect;
                run(pool, "DELETE FROM idem_inbox".into()).await?;
                for first in (0..MESSAGES).step_by(500) {
                    run(pool, insert(&dialect, keys, round, first..first + 500)).await?;
                }
                let shutdown = CancellationToken::new();
                let consumer = Consumer::new("bench", Inbox::new(pool.clone(), "bench"))
                    .on_type::<Drain>("drained")
                    .concurrency(usize::from(CONCURRENCY));
                let start = Instant::now();
                let running = tokio::spawn(consumer.run(pool, shutdown.clone().cancelled_owned()));
                let mut waiting = MESSAGES;
                while waiting > 0 && start.elapsed() < LIMIT {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    waiting = left(pool).await?;
                }
                let took = start.elapsed();
                shutdown.cancel();
                running.await??;
                Ok((MESSAGES - waiting) as f64 / took.as_secs_f64())
            }
        }
    };
}

database!(
    postgres,
    sqlx::Postgres,
    sqlx::PgConnection,
    sqlx::postgres::PgPoolOptions,
    "bench.drained.postgres",
    Dialect {
        blob: |hexed| format!(r"'\x{hexed}'"),
        now: "now()",
        key: "key",
    }
);
database!(
    mariadb,
    sqlx::MySql,
    sqlx::MySqlConnection,
    sqlx::mysql::MySqlPoolOptions,
    "bench.drained.mariadb",
    Dialect {
        blob: |hexed| format!("X'{hexed}'"),
        now: "UTC_TIMESTAMP(6)",
        key: "`key`",
    }
);
database!(
    sqlite,
    sqlx::Sqlite,
    sqlx::SqliteConnection,
    sqlx::sqlite::SqlitePoolOptions,
    "bench.drained.sqlite",
    Dialect {
        blob: |hexed| format!("X'{hexed}'"),
        now: "unixepoch() * 1000000",
        key: "key",
    }
);

/// Measures one database.
macro_rules! measured {
    ($name:ident, $url:expr, $rounds:expr) => {{
        let pool = $name::pool($url).await?;
        for keys in KEYS {
            let mut rates = Vec::new();
            let start = Instant::now();
            for round in 0..$rounds {
                rates.push($name::round(&pool, keys, round).await?);
            }
            let at = |share| quantile(rates.clone(), share).unwrap_or(f64::NAN);
            println!(
                "| {} | {keys} | {:.0} | {:.0} | {:.0} | {:.0?} |",
                stringify!($name),
                at(0.5),
                at(0.0),
                at(1.0),
                start.elapsed()
            );
        }
    }};
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let rounds = args.rounds.unwrap_or(3);
    println!("\nAn inbox of {MESSAGES} messages, concurrency {CONCURRENCY}: messages/s\n");
    println!("| | keys | median | least | greatest | took |");
    println!("|---|--:|--:|--:|--:|--:|");
    if args.wants("postgres") {
        let server = Postgres::start(Options::default().durable()).await?;
        let database = server.database().await;
        measured!(postgres, database.url(), rounds);
    }
    if args.wants("mariadb") {
        let options = Options::default()
            .durable()
            .set("innodb_buffer_pool_size", "1G")
            .set("innodb_log_file_size", "256M");
        let server = MariaDb::start(options).await?;
        let database = server.database().await;
        measured!(mariadb, database.url(), rounds);
    }
    if args.wants("sqlite") {
        let file = server::sqlite();
        measured!(sqlite, file.url(), rounds);
    }
    Ok(())
}
