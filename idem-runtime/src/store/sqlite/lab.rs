//! Copies of the file.
//!
//! One copy is made by SQLite itself (`VACUUM INTO`), since others may have the file open, and to open and close a
//! file that this process has open elsewhere would drop SQLite's locks on it. Nobody opens that copy; all others are
//! copies of its bytes.

mod folder;
mod read;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Sqlite, raw_sql};

use super::error_class::code;
use super::literal::bytes;
use super::schema::schema_version;
use crate::store::Store as _;
use crate::store::lab::{Lab, LabError, SETTLED_WITHIN, Specimen, not_migrated};
use crate::testing::{Snapshot, Window};
use folder::Folder;

/// What is read or written on a copy waits no longer than this for whoever has locked it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The user's database, and the copy that copies are made from.
#[derive(Debug)]
pub struct Template {
    /// How the user connects.
    options: SqliteConnectOptions,
    folder: Folder,
    base: PathBuf,
    copies: AtomicU32,
}

impl Lab for Sqlite {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, LabError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(LabError::sql("the URL is not one of SQLite"))?
            .create_if_missing(false);
        let file = options.get_filename();
        // sqlx gives a database in memory a name of its own.
        let in_memory = ["file:sqlx-in-memory-", ":memory:"];
        if url.contains("mode=memory")
            || in_memory
                .iter()
                .any(|name| file.to_string_lossy().starts_with(name))
        {
            return Err(LabError::new(
                "a database in memory ends with its connections, and every run works on a copy: give a file, \
                 as in `sqlite:///tmp/test.db`",
            ));
        }
        let folder = Folder::new()?;
        let base = folder.file("base");
        let failed = || LabError::sql(format!("the database `{}` can't be copied", file.display()));
        let mut source = options.connect().await.map_err(failed())?;
        let version = schema_version(&mut source).await.map_err(failed())?;
        if version.is_none_or(|version| (version as usize) < Self::MIGRATIONS.len()) {
            return Err(not_migrated(&file.display().to_string()));
        }
        let mode: String = raw_sql("PRAGMA journal_mode")
            .fetch_one(&mut source)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed())?;
        let sql = format!(
            "VACUUM INTO CAST({} AS TEXT)",
            bytes(base.as_os_str().as_encoded_bytes())
        );
        raw_sql(AssertSqlSafe(sql))
            .execute(&mut source)
            .await
            .map_err(failed())?;
        source.close().await.map_err(failed())?;
        if mode == "wal" {
            // The mode is in the file; only VACUUM does not keep it.
            let mut copy = options
                .clone()
                .filename(&base)
                .connect()
                .await
                .map_err(failed())?;
            let kept = raw_sql("PRAGMA journal_mode = wal")
                .execute(&mut copy)
                .await;
            kept.map_err(failed())?;
            copy.close().await.map_err(failed())?;
        }
        Ok(Template {
            options,
            folder,
            base,
            copies: AtomicU32::new(0),
        })
    }

    fn server_address(_template: &Template) -> Option<SocketAddr> {
        None
    }

    async fn copy(template: &Template) -> Result<Specimen, LabError> {
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let file = template.folder.file(&number.to_string());
        fs::copy(&template.base, &file).map_err(folder::failed(&file))?;
        Ok(Specimen::named(folder::text(&file)))
    }

    fn connect_options(
        template: &Template,
        specimen: &Specimen,
        _via: Option<SocketAddr>,
    ) -> SqliteConnectOptions {
        template.options.clone().filename(specimen.name())
    }

    async fn burn(template: &Template, specimen: &Specimen) -> Result<(), LabError> {
        let mut conn = connect(template, specimen).await?;
        let burned = read::burn(&mut conn).await;
        burned.map_err(LabError::sql("numbers can't be skipped"))?;
        closed(conn).await
    }

    async fn snapshot(template: &Template, specimen: &Specimen) -> Result<Snapshot, LabError> {
        let mut conn = connect(template, specimen).await?;
        let tables = read::tables(&mut conn).await.map_err(locked("read"))?;
        closed(conn).await?;
        let window = Window::until_now(specimen.since);
        Ok(Snapshot { tables, window })
    }

    /// A transaction that only reads shows here unless the journal is a write-ahead log.
    async fn open_transactions(
        template: &Template,
        specimen: &Specimen,
    ) -> Result<Vec<String>, LabError> {
        let options = Self::connect_options(template, specimen, None).busy_timeout(Duration::ZERO);
        let start = Instant::now();
        loop {
            let mut conn = options.connect().await.map_err(locked("opened"))?;
            let tried = raw_sql("BEGIN EXCLUSIVE; ROLLBACK")
                .execute(&mut conn)
                .await;
            closed(conn).await?;
            let Err(error) = tried else {
                return Ok(Vec::new());
            };
            if !is_busy(&error) {
                return Err(locked("locked")(error));
            }
            if start.elapsed() > SETTLED_WITHIN {
                return Ok(vec![format!(
                    "a connection has not ended its transaction: {error}"
                )]);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn discard(_template: &Template, specimen: Specimen) -> Result<(), LabError> {
        folder::remove(specimen.name())
    }

    async fn close_template(template: Template) -> Result<(), LabError> {
        drop(template);
        Ok(())
    }
}

async fn connect(template: &Template, specimen: &Specimen) -> Result<SqliteConnection, LabError> {
    let options = Sqlite::connect_options(template, specimen, None)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(PATIENCE);
    options.connect().await.map_err(locked("opened"))
}

async fn closed(conn: SqliteConnection) -> Result<(), LabError> {
    conn.close().await.map_err(locked("closed"))
}

/// The low byte is the code without its extension.
fn is_busy(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

fn locked(doing: &str) -> impl FnOnce(sqlx::Error) -> LabError {
    move |error| {
        let why = if is_busy(&error) {
            ", as a transaction that the run left open has locked it"
        } else {
            ""
        };
        LabError::sql(format!("the copy can't be {doing}{why}"))(error)
    }
}
