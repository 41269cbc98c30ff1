//! Copies by the statements that the server itself shows.
//!
//! To create and to drop tables costs several flushes to disk each, so a copy that was used is refilled where its
//! tables are still the same: only what changed, in one transaction. `AUTO_INCREMENT` then goes on where it was, as it
//! does after a transaction that was rolled back.
//!
//! Events are not copied: a scheduler would run them in each copy.

mod fit;
mod read;
mod reference;
mod script;

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, MySql, MySqlPool, Row as _, raw_sql};

use super::error_class::number;
use super::literal::text;
use crate::store::lab::{Lab, LabError, Specimen, results};
use crate::testing::{Snapshot, Window};
use reference::Reference;
use script::Script;

/// What our databases are named by, after the name of the user's: grants are by such patterns.
const INFIX: &str = "_idem_lab_";

/// Characters of a database's name; we need the rest for ours.
const LONGEST_NAME: usize = 64 - INFIX.len() - 24;

/// How values are written, and that nothing waits long for a lock that a run left behind.
const SESSION: &str = "SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, \
    lock_wait_timeout = 1, innodb_lock_wait_timeout = 2, group_concat_max_len = 1000000; \
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET NAMES utf8mb4";

/// The user's database, and the copy that copies are made from.
#[derive(Debug)]
pub struct Template {
    /// How the user connects.
    options: MySqlConnectOptions,
    address: SocketAddr,
    admin: MySqlPool,
    /// Holds a lock by name, which tells other explorations that we live.
    _owner: tokio::sync::Mutex<MySqlConnection>,
    base: String,
    script: Script,
    reference: Reference,
    copies: AtomicU32,
    /// Copies that were used and are as fresh ones again.
    ready: Mutex<Vec<String>>,
}

impl Lab for MySql {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, LabError> {
        let options = MySqlConnectOptions::from_str(url)
            .map_err(LabError::sql("the URL is not one of MySQL"))?;
        let address = fit::route(&options).address().await?;
        let source = fit::source(&options).await?;
        let token = format!("{:016x}", rand::random::<u64>());
        let owner = fit::owner(&options, &token).await?;
        let admin = MySqlPoolOptions::new()
            .max_connections(4)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|conn, _| {
                Box::pin(async move { raw_sql(SESSION).execute(conn).await.map(drop) })
            })
            .connect_with(options.clone())
            .await
            .map_err(LabError::sql("the database can't be connected to"))?;
        fit::remove_stale(&admin).await?;
        let failed = || LabError::sql(format!("the database `{source}` can't be copied"));
        let script = Script::read(&admin, &source).await.map_err(failed())?;
        let short: String = source.chars().take(LONGEST_NAME).collect();
        let base = format!("{short}{INFIX}{token}");
        let script = script
            .create_first(&admin, &base, &source)
            .await
            .map_err(fit::refused(&short, failed()))?;
        let reference = Reference::read(&admin, &base, &script)
            .await
            .map_err(failed())?;
        Ok(Template {
            options,
            address,
            admin,
            _owner: tokio::sync::Mutex::new(owner),
            base,
            script,
            reference,
            copies: AtomicU32::new(0),
            ready: Mutex::new(Vec::new()),
        })
    }

    fn server_address(template: &Template) -> Option<SocketAddr> {
        Some(template.address)
    }

    async fn copy(template: &Template) -> Result<Specimen, LabError> {
        if let Some(name) = ready(template).pop() {
            return Ok(Specimen::named(name));
        }
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", template.base);
        let sql = template.script.copy(&name, &template.base);
        execute(&template.admin, sql)
            .await
            .map_err(LabError::sql("the database can't be copied"))?;
        Ok(Specimen::named(name))
    }

    fn connect_options(
        template: &Template,
        specimen: &Specimen,
        via: Option<SocketAddr>,
    ) -> MySqlConnectOptions {
        let options = template.options.clone().database(specimen.name());
        match via {
            Some(proxy) => options
                .host(&proxy.ip().to_string())
                .port(proxy.port())
                .ssl_mode(MySqlSslMode::Disabled),
            None => options,
        }
    }

    async fn burn(template: &Template, specimen: &Specimen) -> Result<(), LabError> {
        let burned = read::burn(&template.admin, specimen.name()).await;
        burned.map_err(LabError::sql("numbers can't be skipped"))
    }

    async fn snapshot(template: &Template, specimen: &Specimen) -> Result<Snapshot, LabError> {
        let admin = &template.admin;
        let as_the_base = template.reference.tables(admin, specimen.name()).await;
        let tables = match as_the_base.ok().flatten() {
            Some(tables) => Ok(tables),
            None => read::tables(admin, specimen.name()).await,
        };
        let tables = tables.map_err(read::unreadable)?;
        let window = Window::until_now(specimen.since);
        Ok(Snapshot { tables, window })
    }

    async fn open_transactions(
        template: &Template,
        specimen: &Specimen,
    ) -> Result<Vec<String>, LabError> {
        let tables = &template.reference.tables;
        read::open_transactions(&template.admin, specimen.name(), tables)
            .await
            .map_err(LabError::sql("open transactions can't be looked for"))
    }

    async fn discard(template: &Template, specimen: Specimen) -> Result<(), LabError> {
        let name = specimen.name;
        reference::end_sessions(&template.admin, &name)
            .await
            .map_err(LabError::sql("the sessions of a copy can't be ended"))?;
        let admin = &template.admin;
        let refilled = template.reference.refill(admin, &template.script, &name);
        if matches!(refilled.await, Ok(true)) {
            ready(template).push(name);
            return Ok(());
        }
        drop_database(&template.admin, &name).await
    }

    async fn close_template(template: Template) -> Result<(), LabError> {
        let names = std::mem::take(&mut *ready(&template));
        let mut dropped = Ok(());
        for name in names.iter().chain([&template.base]) {
            dropped = dropped.and(drop_database(&template.admin, name).await);
        }
        template.admin.close().await;
        dropped
    }
}

fn ready(template: &Template) -> std::sync::MutexGuard<'_, Vec<String>> {
    let ready = template.ready.lock();
    ready.unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn drop_database(admin: &MySqlPool, name: &str) -> Result<(), LabError> {
    let dropped = execute(admin, format!("DROP DATABASE IF EXISTS {}", quoted(name))).await;
    dropped.map_err(LabError::sql(format!("the copy `{name}` can't be dropped")))
}

async fn execute(admin: &MySqlPool, sql: String) -> Result<(), sqlx::Error> {
    let mut conn = admin.acquire().await?;
    raw_sql(AssertSqlSafe(sql))
        .execute(&mut *conn)
        .await
        .map(drop)
}

/// The rows of each statement of a batch.
async fn batch(admin: &MySqlPool, sql: String) -> Result<Vec<Vec<MySqlRow>>, sqlx::Error> {
    let mut conn = admin.acquire().await?;
    results(raw_sql(AssertSqlSafe(sql)).fetch_many(&mut *conn)).await
}

async fn rows(admin: &MySqlPool, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut conn = admin.acquire().await?;
    raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await
}

/// A value as text, whatever its type says.
fn string(row: &MySqlRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(place)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn required(row: &MySqlRow, place: usize) -> Result<String, sqlx::Error> {
    string(row, place).map(Option::unwrap_or_default)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
