//! Copies by `CREATE DATABASE .. TEMPLATE`.
//!
//! A template must have no other session, so one copy of the user's database is made, to which nobody connects, and
//! all others come from that one. A copy that was used is refilled where that can be done.

mod fit;
mod read;
mod reference;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool, Postgres, Row as _};
use sqlx::{ValueRef as _, raw_sql};

use super::literal::text;
use crate::store::lab::{Lab, LabError, SETTLED_WITHIN, Specimen};
use crate::testing::{Snapshot, Window};
use reference::Reference;

/// What names our databases and, as `application_name`, the sessions of the process that they belong to.
const PREFIX: &str = "idem_lab_";

/// The user's database, and the copy that copies are made from.
#[derive(Debug)]
pub struct Template {
    /// How the user connects, with what the database itself sets for its sessions.
    options: PgConnectOptions,
    address: SocketAddr,
    /// On a database that is neither the user's nor a copy. Its sessions tell other explorations that we live.
    admin: PgPool,
    strategy: Strategy,
    base: String,
    copies: AtomicU32,
    /// None until the first copy was read.
    reference: Option<Reference>,
    /// Copies that were used and are as fresh ones again.
    ready: Mutex<Vec<String>>,
    /// Our own sessions on copies, by name.
    sessions: Mutex<BTreeMap<String, PgConnection>>,
}

/// How the server copies a database. Measured for creating and dropping: to copy files takes four fifths of the time
/// where nothing is flushed to disk; where it is, the checkpoints around it make it the slower by a third.
#[derive(Clone, Copy, Debug)]
enum Strategy {
    Files,
    Log,
}

impl Lab for Postgres {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, LabError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(LabError::sql("the URL is not one of PostgreSQL"))?;
        let address = fit::route(&options).address().await?;
        let source = fit::source(&options).await?;
        let base = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let admin = PgPoolOptions::new()
            .min_connections(1)
            .max_connections(8)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().database("postgres").application_name(&base))
            .await
            .map_err(LabError::sql(
                "copies are made through the database `postgres`, which can't be connected to",
            ))?;
        let mut template = Template {
            options: fit::with_settings(options, source.settings),
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

    async fn copy(template: &Template) -> Result<Specimen, LabError> {
        if let Some(name) = of(&template.ready).pop() {
            return Ok(Specimen::named(name));
        }
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", template.base);
        create(template, &name, &template.base)
            .await
            .map_err(LabError::sql("the database can't be copied"))?;
        Ok(Specimen::named(name))
    }

    fn connect_options(
        template: &Template,
        specimen: &Specimen,
        via: Option<SocketAddr>,
    ) -> PgConnectOptions {
        let options = template.options.clone().database(specimen.name());
        match via {
            Some(proxy) => options
                .host(&proxy.ip().to_string())
                .port(proxy.port())
                .ssl_mode(PgSslMode::Disable),
            None => options,
        }
    }

    async fn burn(template: &Template, specimen: &Specimen) -> Result<(), LabError> {
        let sql = "SELECT setval(format('%I.%I', schemaname, sequencename), \
             coalesce(last_value, start_value) + increment_by * least( \
                 1000 * row_number() OVER (ORDER BY schemaname, sequencename) + (random() * 500)::integer, \
                 (CASE WHEN increment_by > 0 THEN max_value ELSE min_value END - coalesce(last_value, start_value)) \
                     / increment_by / 4)) \
             FROM pg_sequences";
        let mut conn = connect(template, specimen).await?;
        let burned = raw_sql(sql).execute(&mut conn).await;
        burned.map_err(LabError::sql(
            "sequences can't be moved on (the role needs UPDATE on each)",
        ))?;
        keep(template, specimen, conn);
        Ok(())
    }

    async fn snapshot(template: &Template, specimen: &Specimen) -> Result<Snapshot, LabError> {
        let mut conn = connect(template, specimen).await?;
        let as_the_base = match &template.reference {
            Some(reference) => reference.tables(&mut conn).await,
            None => Ok(None),
        };
        let tables = match as_the_base.map_err(read::unreadable)? {
            Some(tables) => tables,
            None => read::tables(&mut conn).await.map_err(read::unreadable)?,
        };
        keep(template, specimen, conn);
        let window = Window::until_now(specimen.since);
        Ok(Snapshot { tables, window })
    }

    async fn open_transactions(
        template: &Template,
        specimen: &Specimen,
    ) -> Result<Vec<String>, LabError> {
        let sql = format!(
            "SELECT format('connection %s is %s since %s, its last statement: %s', pid, state, xact_start, left(query, 200)) \
             FROM pg_stat_activity WHERE datname = {name} AND xact_start IS NOT NULL AND backend_type = 'client backend' \
             UNION ALL SELECT format('the prepared transaction %L waits since %s', gid, prepared) \
             FROM pg_prepared_xacts WHERE database = {name}",
            name = text(specimen.name()),
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

    async fn discard(template: &Template, specimen: Specimen) -> Result<(), LabError> {
        if matches!(refill(template, &specimen).await, Ok(true)) {
            of(&template.ready).push(specimen.name);
            return Ok(());
        }
        of(&template.sessions).remove(&specimen.name);
        drop_database(&template.admin, specimen.name()).await
    }

    async fn close_template(template: Template) -> Result<(), LabError> {
        let names = std::mem::take(&mut *of(&template.ready));
        of(&template.sessions).clear();
        let drops = names.iter().chain([&template.base]);
        // At once: the server writes a checkpoint for each drop, or one for those that wait.
        let dropped = join_all(drops.map(|name| drop_database(&template.admin, name))).await;
        template.admin.close().await;
        dropped.into_iter().collect()
    }
}

/// Ends whoever is connected to a used copy, and with them their transactions, and restores what a fresh one holds.
async fn refill(template: &Template, specimen: &Specimen) -> Result<bool, LabError> {
    let Some(reference) = &template.reference else {
        return Ok(false);
    };
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
         WHERE datname = {name} AND application_name <> {own} AND backend_type = 'client backend' \
         UNION ALL SELECT false FROM pg_prepared_xacts WHERE database = {name}",
        name = text(specimen.name()),
        own = text(&template.base),
    );
    let ended = strings(&template.admin, sql).await?;
    if ended.iter().any(|ended| ended != "t") {
        return Ok(false);
    }
    let mut conn = connect(template, specimen).await?;
    let refilled = reference.refill(&mut conn).await;
    let refilled = refilled.map_err(LabError::sql("a used copy can't be refilled"))?;
    keep(template, specimen, conn);
    Ok(refilled)
}

/// The one copy from the user's database.
async fn make_base(template: &Template, source: &str) -> Result<(), LabError> {
    // The server itself waits 5 s for the sessions to end.
    let error = match create(template, &template.base, source).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if error.as_database_error().and_then(DatabaseError::code) != Some("55006".into()) {
        return Err(LabError::sql(format!(
            "the database `{source}` can't be copied"
        ))(error));
    }
    let sql = format!(
        "SELECT format('%s (pid %s, %s, %s)', coalesce(nullif(application_name, ''), 'a session'), pid, usename, \
             coalesce(state, 'state unknown')) FROM pg_stat_activity WHERE datname = {}",
        text(source),
    );
    let sessions = strings(&template.admin, sql).await?;
    Err(LabError::new(format!(
        "the database `{source}` can't be copied while others are connected to it: {}. Close the pools on it before \
         exploring: `pool.close().await`",
        sessions.join(", "),
    )))
}

/// Drops what explorations left that were killed: their sessions are gone, and names are never used twice.
async fn remove_stale(template: &Template) -> Result<(), LabError> {
    let sql = format!(
        "SELECT datname FROM pg_database \
         WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}(_[0-9]+)?$' AND pg_has_role(datdba, 'USAGE') AND NOT EXISTS \
             (SELECT FROM pg_stat_activity WHERE application_name = substr(pg_database.datname, 1, {}))",
        PREFIX.len() + 16,
    );
    let names = strings(&template.admin, sql).await?;
    // Another exploration may be at it, too.
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

async fn drop_database(admin: &PgPool, name: &str) -> Result<(), LabError> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    let failed = || LabError::sql(format!("the copy `{name}` can't be dropped"));
    let mut conn = admin.acquire().await.map_err(failed())?;
    let dropped = raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await;
    dropped.map(drop).map_err(failed())
}

/// A session of our own on a copy, past the proxy, whose settings fix how values are written.
async fn connect(template: &Template, specimen: &Specimen) -> Result<PgConnection, LabError> {
    let open = of(&template.sessions).remove(specimen.name());
    if let Some(conn) = open {
        return Ok(conn);
    }
    let options = Postgres::connect_options(template, specimen, None)
        .application_name(&template.base)
        .extra_float_digits(3)
        .options(read::SETTINGS);
    let failed = || LabError::sql("a copy can't be connected to");
    let mut conn = options.connect().await.map_err(failed())?;
    reference::prepare(&mut conn).await.map_err(failed())?;
    Ok(conn)
}

/// For the next that needs one: to connect takes longer than to read.
fn keep(template: &Template, specimen: &Specimen, conn: PgConnection) {
    of(&template.sessions).insert(specimen.name.clone(), conn);
}

fn of<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn strings(admin: &PgPool, sql: String) -> Result<Vec<String>, LabError> {
    let failed = || LabError::sql("the server's catalog can't be read");
    let mut conn = admin.acquire().await.map_err(failed())?;
    read::strings(&mut conn, sql).await.map_err(failed())
}

/// A value as the server wrote it, whatever its type: rows of several statements at once come as text.
fn string(row: &PgRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(place)?;
    if value.is_null() {
        return Ok(None);
    }
    let text = value.as_str().map_err(sqlx::Error::Decode)?;
    Ok(Some(text.to_owned()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
