//! Copies by `CREATE DATABASE .. TEMPLATE`.
//!
//! A template must have no other session. So one copy of the user's database is made, to which
//! nothing connects, and all other copies come from that one. A used copy is refilled where
//! possible.

mod objects;
mod read;
mod reference;
mod requirements;
mod sql;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use idem_runtime::__testing::postgres::text;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions, PgSslMode};
use sqlx::raw_sql;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool, Postgres};

use super::{CloneDatabase, DatabaseCopy, SETTLED_WITHIN};
use crate::comparison::snapshot::{Snapshot, Window};
use crate::setup_error::SetupError;
use reference::Reference;
use sql::quoted;

/// What names our databases and, as `application_name`, the sessions of the process that they
/// belong to.
const PREFIX: &str = "idem_copy_";

/// The user's database, and the copy that copies are made from.
#[derive(Debug)]
pub struct Template {
    /// How the user connects, with what the database itself sets for its sessions.
    options: PgConnectOptions,
    address: SocketAddr,
    /// On a database that is neither the user's nor a copy. Its sessions show other explorations
    /// that this one is alive.
    admin: PgPool,
    strategy: Strategy,
    base: String,
    copies: AtomicU32,
    /// None until the first copy was read.
    reference: Option<Reference>,
    /// Used copies that are refilled, and are like fresh ones.
    ready: Mutex<Vec<String>>,
    /// Our own sessions on copies, by name.
    sessions: Mutex<BTreeMap<String, PgConnection>>,
}

/// How the server copies a database. Measured for creating and dropping: to copy files takes four
/// fifths of the time where nothing is flushed to disk; where it is, the checkpoints around it make
/// it the slower by a third.
#[derive(Clone, Copy, Debug)]
enum Strategy {
    Files,
    Log,
}

impl CloneDatabase for Postgres {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, SetupError> {
        let options = PgConnectOptions::from_str(url).map_err(SetupError::sql(
            "the URL is not one of PostgreSQL, such as postgres://user@host/database",
        ))?;
        let address = requirements::route(&options).address().await?;
        let source = requirements::source(&options).await?;
        let base = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let admin = PgPoolOptions::new()
            .min_connections(1)
            .max_connections(8)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().database("postgres").application_name(&base))
            .await
            .map_err(SetupError::sql(
                "copies are made through the database `postgres`, which can't be connected to",
            ))?;
        let mut template = Template {
            options: requirements::with_settings(options, source.settings),
            address,
            admin,
            strategy: if source.is_durable {
                Strategy::Log
            } else {
                Strategy::Files
            },
            base,
            copies: AtomicU32::new(0),
            reference: None,
            ready: Mutex::default(),
            sessions: Mutex::default(),
        };
        remove_stale(&template).await?;
        make_base(&template, &source.name).await?;
        let first = Self::copy(&template).await?;
        let mut conn = connect(&template, &first).await?;
        let reference = Reference::read(&mut conn).await;
        template.reference = Some(reference.map_err(read::unreadable)?);
        keep(&template, &first, conn);
        of(&template.ready).push(first.name);
        Ok(template)
    }

    fn server_address(template: &Template) -> Option<SocketAddr> {
        Some(template.address)
    }

    async fn copy(template: &Template) -> Result<DatabaseCopy, SetupError> {
        if let Some(name) = of(&template.ready).pop() {
            return Ok(DatabaseCopy::named(name));
        }
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", template.base);
        create(template, &name, &template.base)
            .await
            .map_err(SetupError::sql("the database can't be copied"))?;
        Ok(DatabaseCopy::named(name))
    }

    fn connect_options(
        template: &Template,
        copy: &DatabaseCopy,
        via: Option<SocketAddr>,
    ) -> PgConnectOptions {
        let options = template.options.clone().database(copy.name());
        match via {
            Some(proxy) => options
                .host(&proxy.ip().to_string())
                .port(proxy.port())
                .ssl_mode(PgSslMode::Disable),
            None => options,
        }
    }

    async fn advance_sequences(template: &Template, copy: &DatabaseCopy) -> Result<(), SetupError> {
        let sql = "SELECT setval(format('%I.%I', schemaname, sequencename), \
             coalesce(last_value, start_value) + increment_by * least( \
                 1000 * row_number() OVER (ORDER BY schemaname, sequencename) + (random() * 500)::integer, \
                 (CASE WHEN increment_by > 0 THEN max_value ELSE min_value END - coalesce(last_value, start_value)) \
                     / increment_by / 4)) \
             FROM pg_sequences";
        let mut conn = connect(template, copy).await?;
        let burned = raw_sql(sql).execute(&mut conn).await;
        burned.map_err(SetupError::sql(
            "sequences can't be moved on (the role needs UPDATE on each)",
        ))?;
        keep(template, copy, conn);
        Ok(())
    }

    async fn snapshot(template: &Template, copy: &DatabaseCopy) -> Result<Snapshot, SetupError> {
        let mut conn = connect(template, copy).await?;
        let as_the_base = match &template.reference {
            Some(reference) => reference.tables(&mut conn).await,
            None => Ok(None),
        };
        let tables = match as_the_base.map_err(read::unreadable)? {
            Some(tables) => tables,
            None => read::tables(&mut conn).await.map_err(read::unreadable)?,
        };
        keep(template, copy, conn);
        let window = Window::until_now(copy.since);
        Ok(Snapshot { tables, window })
    }

    async fn open_transactions(
        template: &Template,
        copy: &DatabaseCopy,
    ) -> Result<Vec<String>, SetupError> {
        let sql = format!(
            "SELECT format('connection %s is %s since %s, its last statement: %s', pid, state, xact_start, left(query, 200)) \
             FROM pg_stat_activity WHERE datname = {name} AND xact_start IS NOT NULL AND backend_type = 'client backend' \
             UNION ALL SELECT format('the prepared transaction %L waits since %s', gid, prepared) \
             FROM pg_prepared_xacts WHERE database = {name}",
            name = text(copy.name()),
        );
        let start = Instant::now();
        loop {
            let open = strings(&template.admin, sql.clone()).await?;
            // A pool that closes its connections does not wait until the server has noticed.
            if open.is_empty() || start.elapsed() > SETTLED_WITHIN {
                return Ok(open);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn discard(template: &Template, copy: DatabaseCopy) -> Result<(), SetupError> {
        if matches!(refill(template, &copy).await, Ok(true)) {
            of(&template.ready).push(copy.name);
            return Ok(());
        }
        of(&template.sessions).remove(&copy.name);
        drop_database(&template.admin, copy.name()).await
    }

    async fn close_template(template: Template) -> Result<(), SetupError> {
        let names = std::mem::take(&mut *of(&template.ready));
        of(&template.sessions).clear();
        let drops = names.iter().chain([&template.base]);
        // At once: the server writes a checkpoint for each drop, or one for those that wait.
        let dropped = join_all(drops.map(|name| drop_database(&template.admin, name))).await;
        template.admin.close().await;
        dropped.into_iter().collect()
    }
}

/// Ends the sessions on a used copy, and with them their transactions, and restores what a fresh
/// copy holds.
async fn refill(template: &Template, copy: &DatabaseCopy) -> Result<bool, SetupError> {
    let Some(reference) = &template.reference else {
        return Ok(false);
    };
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
         WHERE datname = {name} AND application_name <> {own} AND backend_type = 'client backend' \
         UNION ALL SELECT false FROM pg_prepared_xacts WHERE database = {name}",
        name = text(copy.name()),
        own = text(&template.base),
    );
    let ended = strings(&template.admin, sql).await?;
    if ended.iter().any(|ended| ended != "t") {
        return Ok(false);
    }
    let mut conn = connect(template, copy).await?;
    let refilled = reference.refill(&mut conn).await;
    let refilled = refilled.map_err(SetupError::sql("a used copy can't be refilled"))?;
    keep(template, copy, conn);
    Ok(refilled)
}

/// The one copy from the user's database.
async fn make_base(template: &Template, source: &str) -> Result<(), SetupError> {
    // The server itself waits 5 s for the sessions to end.
    let error = match create(template, &template.base, source).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if error.as_database_error().and_then(DatabaseError::code) != Some("55006".into()) {
        return Err(SetupError::sql(format!(
            "the database `{source}` can't be copied"
        ))(error));
    }
    let sql = format!(
        "SELECT format('%s (pid %s, %s, %s)', coalesce(nullif(application_name, ''), 'a session'), pid, usename, \
             coalesce(state, 'state unknown')) FROM pg_stat_activity WHERE datname = {}",
        text(source),
    );
    let sessions = strings(&template.admin, sql).await?;
    Err(SetupError::new(format!(
        "the database `{source}` can't be copied while others are connected to it: {}. Close the pools on it before \
         exploring: `pool.close().await`",
        sessions.join(", "),
    )))
}

/// Drops the copies of explorations that were killed: their sessions are gone, and names are never
/// used twice.
async fn remove_stale(template: &Template) -> Result<(), SetupError> {
    let sql = format!(
        "SELECT datname FROM pg_database \
         WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}(_[0-9]+)?$' AND pg_has_role(datdba, 'USAGE') AND NOT EXISTS \
             (SELECT FROM pg_stat_activity WHERE application_name = substr(pg_database.datname, 1, {}))",
        PREFIX.len() + 16,
    );
    let names = strings(&template.admin, sql).await?;
    // Another exploration may be doing the same.
    join_all(
        names
            .iter()
            .map(|name| drop_database(&template.admin, name)),
    )
    .await;
    Ok(())
}

async fn create(template: &Template, name: &str, from: &str) -> Result<(), sqlx::Error> {
    let sql = format!(
        "CREATE DATABASE {} TEMPLATE {} STRATEGY {}",
        quoted(name),
        quoted(from),
        match template.strategy {
            Strategy::Files => "file_copy",
            Strategy::Log => "wal_log",
        },
    );
    let mut conn = template.admin.acquire().await?;
    raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
    Ok(())
}

async fn drop_database(admin: &PgPool, name: &str) -> Result<(), SetupError> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    let failed = || SetupError::sql(format!("the copy `{name}` can't be dropped"));
    let mut conn = admin.acquire().await.map_err(failed())?;
    let dropped = raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await;
    dropped.map(drop).map_err(failed())
}

/// A session of our own on a copy, past the proxy, whose settings fix how values are written.
async fn connect(template: &Template, copy: &DatabaseCopy) -> Result<PgConnection, SetupError> {
    let open = of(&template.sessions).remove(copy.name());
    if let Some(conn) = open {
        return Ok(conn);
    }
    let options = Postgres::connect_options(template, copy, None)
        .application_name(&template.base)
        .extra_float_digits(3)
        .options(read::SETTINGS);
    let failed = || SetupError::sql("a copy can't be connected to");
    let mut conn = options.connect().await.map_err(failed())?;
    reference::prepare(&mut conn).await.map_err(failed())?;
    Ok(conn)
}

/// For the next call that needs a session: to connect takes longer than to read.
fn keep(template: &Template, copy: &DatabaseCopy, conn: PgConnection) {
    of(&template.sessions).insert(copy.name.clone(), conn);
}

fn of<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn strings(admin: &PgPool, sql: String) -> Result<Vec<String>, SetupError> {
    let failed = || SetupError::sql("the server's catalog can't be read");
    let mut conn = admin.acquire().await.map_err(failed())?;
    sql::strings(&mut conn, sql).await.map_err(failed())
}
