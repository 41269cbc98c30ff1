//! GitHub's webhooks, redelivered as GitHub does, counted once each.
//!
//! ```console
//! cargo run --example github_webhooks -- deliveries.jsonl webhooks.db
//! ```
//!
//! `deliveries.jsonl` has a delivery a line: `{"delivery": GUID, "event": NAME, "payload": {...}}`,
//! where the GUID is that of the header `X-GitHub-Delivery`. GitHub redelivers under the same GUID,
//! so it is the key. A second run over the same file and database finds all of them handled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use idem_examples::arguments::Arguments;
use idem_examples::audit::{self, State};
use idem_examples::consumer;
use idem_examples::report::{Summary, table};
use idem_examples::target::{Database, Target};
use idem_runtime::broker::JsonLines;
use idem_runtime::{Event, Relay};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Delivery {
    #[serde(rename = "delivery")]
    id: Uuid,
    event: String,
    payload: Payload,
}

/// What this program reads of a payload.
#[derive(Debug, Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<Repository>,
    organization: Option<Organization>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Debug, Deserialize)]
struct Organization {
    login: String,
}

impl Payload {
    /// Events of an organisation, an installation or a user have no repository.
    fn repository(&self) -> String {
        match (&self.repository, &self.organization) {
            (Some(repository), _) => repository.full_name.clone(),
            (None, Some(organization)) => format!("{} (organisation)", organization.login),
            (None, None) => "(neither)".into(),
        }
    }
}

/// What is published for each delivery.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "github.events", key = "repository")]
struct EventCounted {
    delivery: Uuid,
    repository: String,
    event: String,
    action: Option<String>,
}

// A service has one database, and one of these three modules. A handler names the connection it
// works on, since its SQL is that database's, too: hence three handlers here and not one that is
// generic.

mod sqlite {
    use idem_runtime::{Outbox, idempotent, outbox};
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool};

    use super::{Delivery, EventCounted};

    #[idempotent(key = "delivery.id", retry = 5)]
    #[outbox]
    pub(super) async fn count_event(
        tx: &mut SqliteConnection,
        outbox: &mut Outbox<EventCounted>,
        delivery: &Delivery,
    ) -> Result<(), sqlx::Error> {
        let repository = delivery.payload.repository();
        sqlx::query("INSERT INTO webhooks_log (delivery, repository, event) VALUES ($1, $2, $3)")
            .bind(delivery.id.to_string())
            .bind(&repository)
            .bind(&delivery.event)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO webhooks_repositories AS counted (repository, events) VALUES ($1, 1) \
             ON CONFLICT (repository) DO UPDATE SET events = counted.events + 1",
        )
        .bind(&repository)
        .execute(&mut *tx)
        .await?;
        outbox.emit(&EventCounted {
            delivery: delivery.id,
            repository,
            event: delivery.event.clone(),
            action: delivery.payload.action.clone(),
        });
        Ok(())
    }

    // The log has no unique constraint, so that a delivery which is counted twice can show.
    pub(super) const TABLES: &str = "
        CREATE TABLE IF NOT EXISTS webhooks_repositories (repository text PRIMARY KEY, events bigint NOT NULL);
        CREATE TABLE IF NOT EXISTS webhooks_log (delivery text NOT NULL, repository text NOT NULL, event text NOT NULL)";

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

    use super::{Delivery, EventCounted};

    #[idempotent(key = "delivery.id", retry = 5)]
    #[outbox]
    pub(super) async fn count_event(
        tx: &mut PgConnection,
        outbox: &mut Outbox<EventCounted>,
        delivery: &Delivery,
    ) -> Result<(), sqlx::Error> {
        let repository = delivery.payload.repository();
        sqlx::query("INSERT INTO webhooks_log (delivery, repository, event) VALUES ($1, $2, $3)")
            .bind(delivery.id.to_string())
            .bind(&repository)
            .bind(&delivery.event)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO webhooks_repositories AS counted (repository, events) VALUES ($1, 1) \
             ON CONFLICT (repository) DO UPDATE SET events = counted.events + 1",
        )
        .bind(&repository)
        .execute(&mut *tx)
        .await?;
        outbox.emit(&EventCounted {
            delivery: delivery.id,
            repository,
            event: delivery.event.clone(),
            action: delivery.payload.action.clone(),
        });
        Ok(())
    }

    pub(super) const TABLES: &str = super::sqlite::TABLES;

    pub(super) async fn connect(options: PgConnectOptions) -> sqlx::Result<PgPool> {
        PgPool::connect_with(options).await
    }
}

mod mysql {
    use idem_runtime::{Outbox, idempotent, outbox};
    use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};

    use super::{Delivery, EventCounted};

    #[idempotent(key = "delivery.id", retry = 5)]
    #[outbox]
    pub(super) async fn count_event(
        tx: &mut MySqlConnection,
        outbox: &mut Outbox<EventCounted>,
        delivery: &Delivery,
    ) -> Result<(), sqlx::Error> {
        let repository = delivery.payload.repository();
        sqlx::query("INSERT INTO webhooks_log (delivery, repository, event) VALUES (?, ?, ?)")
            .bind(delivery.id.to_string())
            .bind(&repository)
            .bind(&delivery.event)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO webhooks_repositories (repository, events) VALUES (?, 1) \
             ON DUPLICATE KEY UPDATE events = events + 1",
        )
        .bind(&repository)
        .execute(&mut *tx)
        .await?;
        outbox.emit(&EventCounted {
            delivery: delivery.id,
            repository,
            event: delivery.event.clone(),
            action: delivery.payload.action.clone(),
        });
        Ok(())
    }

    // A binary collation: the default one takes names apart in upper and lower case for the same.
    pub(super) const TABLES: &str = "
        CREATE TABLE IF NOT EXISTS webhooks_repositories
            (repository varchar(200) PRIMARY KEY, events bigint NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
        CREATE TABLE IF NOT EXISTS webhooks_log
            (delivery char(36) NOT NULL, repository varchar(200) NOT NULL, event varchar(100) NOT NULL)
            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

    pub(super) async fn connect(options: MySqlConnectOptions) -> sqlx::Result<MySqlPool> {
        MySqlPool::connect_with(options).await
    }
}

/// Deliveries that are handled at the same time.
const WORKERS: usize = 8;

/// Each repository with each delivery in its log.
const BOOKS: &str = "
    SELECT counted.repository, counted.events, log.delivery FROM webhooks_repositories AS counted
    LEFT JOIN webhooks_log AS log ON log.repository = counted.repository";

/// What an earlier run left to publish.
const PENDING: &str = "SELECT payload FROM idem_outbox";

/// Handles the deliveries of a file, and reads what is in the books before and after. (A macro,
/// since sqlx has no type for "a pool of one of these databases".)
macro_rules! run {
    ($database:ident, $options:expr, $lines:expr, $events:expr) => {{
        let pool = $database::connect($options).await?;
        idem_runtime::migrate(&pool).await?;
        sqlx::raw_sql($database::TABLES).execute(&pool).await?;
        let before = sqlx::query_as(BOOKS).fetch_all(&pool).await?;
        let pending: Vec<Vec<u8>> = sqlx::query_scalar(PENDING).fetch_all(&pool).await?;

        let handled = consumer::concurrently(WORKERS, $lines, |line: consumer::Line| {
            let pool = pool.clone();
            async move {
                let handled = async {
                    let delivery = decode(&line.text?)?;
                    let outcome = $database::count_event(&pool, &delivery).await?;
                    anyhow::Ok((delivery.id.to_string(), outcome.is_executed()))
                };
                (line.number, handled.await)
            }
        })
        .await?;

        Relay::new(pool.clone(), JsonLines::file($events))
            .drain()
            .await?;
        let after = sqlx::query_as(BOOKS).fetch_all(&pool).await?;
        (before, pending, handled, after)
    }};
}

const USAGE: &str = "\
usage: github_webhooks FILE [DATABASE] [--events FILE]
DATABASE is a path or a URL: sqlite:, postgres: or mysql:";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse(std::env::args().skip(1), 2, &["--events"]).context(USAGE)?;
    let file = arguments.at(0).context(USAGE)?;
    let target = Target::new(arguments.at(1), arguments.option("--events")?)?;
    target.reach().await?;
    println!("{target}\n");

    let lines = consumer::lines(File::open(file).with_context(|| file.to_owned())?);
    let subject = |event: EventCounted| event.delivery.to_string();
    let before = State::read(Vec::new(), &target.events, subject)?;
    let (books, pending, handled, books_after) = match target.database.clone() {
        Database::Sqlite(options) => run!(sqlite, options, lines, &target.events),
        Database::Postgres(options) => run!(postgres, options, lines, &target.events),
        Database::MySql(options) => run!(mysql, options, lines, &target.events),
    };
    let before = State {
        books: counted(books),
        ..before
    };
    let elsewhere = before.published_elsewhere(&pending, subject);
    let after = State::read(counted(books_after), &target.events, subject)?;

    let (mut delivered, mut replayed, mut failed) = (BTreeSet::new(), 0, BTreeMap::new());
    for (line, result) in handled {
        match result {
            Ok((id, executed)) => {
                delivered.insert(id);
                replayed += usize::from(!executed);
            }
            Err(error) => {
                failed.insert(line, error);
            }
        }
    }
    table(&after.totals(), "events");
    for (line, error) in &failed {
        eprintln!("{file}:{line}: {error:#}");
    }
    let exit = Summary::new(&delivered, &before, &after, &elsewhere, replayed).conclude();
    Ok(if failed.is_empty() {
        exit
    } else {
        ExitCode::FAILURE
    })
}

fn decode(line: &[u8]) -> anyhow::Result<Delivery> {
    serde_json::from_slice(line).map_err(|error| {
        // Its "line 1" is the one of this text.
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or_default();
        anyhow!("not a delivery, column {}: {reason}", error.column())
    })
}

/// Each entry of the log counts for one event.
fn counted(log: Vec<(String, i64, Option<String>)>) -> Vec<audit::Line> {
    log.into_iter()
        .map(|(repository, events, delivery)| (repository, events, delivery, Some(1)))
        .collect()
}
