//! Copies by the statements that the server itself shows.
//!
//! Creating and dropping tables costs several flushes to disk each. So a used copy is refilled if
//! its tables are still the same: only what changed, in one transaction. `AUTO_INCREMENT` then goes
//! on where it was, as it does after a transaction that was rolled back.
//!
//! Events are not copied: a scheduler would run them in each copy.

mod read;
mod reference;
mod requirements;
mod script;
mod sql;

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlSslMode};
use sqlx::{MySql, MySqlPool, raw_sql};

use super::{CloneDatabase, DatabaseCopy};
use crate::comparison::snapshot::{Snapshot, Window};
use crate::setup_error::SetupError;
use reference::Reference;
use script::Script;
use sql::{INFIX, drop_database, execute};

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
    /// Holds a lock by name, which shows other explorations that this one is alive.
    _owner: tokio::sync::Mutex<MySqlConnection>,
    base: String,
    script: Script,
    reference: Reference,
    copies: AtomicU32,
    /// Used copies that are refilled, and are like fresh ones.
    ready: Mutex<Vec<String>>,
}

impl CloneDatabase for MySql {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, SetupError> {
        let options = MySqlConnectOptions::from_str(url).map_err(SetupError::sql(
            "the URL is not one of MySQL, such as mysql://user@host/database",
        ))?;
        let address = requirements::route(&options).address().await?;
        let source = requirements::source(&options).await?;
        let token = format!("{:016x}", rand::random::<u64>());
        let owner = requirements::owner(&options, &token).await?;
        let admin = MySqlPoolOptions::new()
            .max_connections(4)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|conn, _| {
                Box::pin(async move { raw_sql(SESSION).execute(conn).await.map(drop) })
            })
            .connect_with(options.clone())
            .await
            .map_err(SetupError::sql("the database can't be connected to"))?;
        requirements::remove_stale(&admin).await?;
        let failed = || SetupError::sql(format!("the database `{source}` can't be copied"));
        let script = Script::read(&admin, &source).await.map_err(failed())?;
        let short: String = source.chars().take(LONGEST_NAME).collect();
        let base = format!("{short}{INFIX}{token}");
        let script = script
            .create_first(&admin, &base, &source)
            .await
            .map_err(requirements::not_granted(&short, failed()))?;
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

    async fn copy(template: &Template) -> Result<DatabaseCopy, SetupError> {
        if let Some(name) = ready(template).pop() {
            return Ok(DatabaseCopy::named(name));
        }
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", template.base);
        let sql = template.script.copy(&name, &template.base);
        execute(&template.admin, sql)
            .await
            .map_err(SetupError::sql("the database can't be copied"))?;
        Ok(DatabaseCopy::named(name))
    }

    fn connect_options(
        template: &Template,
        copy: &DatabaseCopy,
        via: Option<SocketAddr>,
    ) -> MySqlConnectOptions {
        let options = template.options.clone().database(copy.name());
        match via {
            Some(proxy) => options
                .host(&proxy.ip().to_string())
                .port(proxy.port())
                .ssl_mode(MySqlSslMode::Disabled),
            None => options,
        }
    }

    async fn advance_sequences(template: &Template, copy: &DatabaseCopy) -> Result<(), SetupError> {
        let burned = read::advance_sequences(&template.admin, copy.name()).await;
        burned.map_err(SetupError::sql("numbers can't be skipped"))
    }

    async fn snapshot(template: &Template, copy: &DatabaseCopy) -> Result<Snapshot, SetupError> {
        let admin = &template.admin;
        let as_the_base = template.reference.tables(admin, copy.name()).await;
        let tables = match as_the_base.ok().flatten() {
            Some(tables) => Ok(tables),
            None => read::tables(admin, copy.name()).await,
        };
        let tables = tables.map_err(read::unreadable)?;
        let window = Window::until_now(copy.since);
        Ok(Snapshot { tables, window })
    }

    async fn open_transactions(
        template: &Template,
        copy: &DatabaseCopy,
    ) -> Result<Vec<String>, SetupError> {
        let tables = &template.reference.tables;
        read::open_transactions(&template.admin, copy.name(), tables)
            .await
            .map_err(SetupError::sql("open transactions can't be looked for"))
    }

    async fn discard(template: &Template, copy: DatabaseCopy) -> Result<(), SetupError> {
        let name = copy.name;
        reference::end_sessions(&template.admin, &name)
            .await
            .map_err(SetupError::sql("the sessions of a copy can't be ended"))?;
        let admin = &template.admin;
        let refilled = template.reference.refill(admin, &template.script, &name);
        if matches!(refilled.await, Ok(true)) {
            ready(template).push(name);
            return Ok(());
        }
        drop_database(&template.admin, &name).await
    }

    async fn close_template(template: Template) -> Result<(), SetupError> {
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
