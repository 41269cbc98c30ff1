//! Copies of the file.
//!
//! SQLite itself makes the first copy (`VACUUM INTO`), since others may have the file open, and
//! opening and closing a file that this process has open elsewhere would drop SQLite's locks on it.
//! Nothing opens the first copy. All others are copies of its bytes.

mod folder;
mod read;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use idem_runtime::__testing::sqlite::bytes;
use idem_runtime::__testing::sqlite::code;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Sqlite, raw_sql};

use super::migrated::require_migrated;
use super::{CloneDatabase, DatabaseCopy, SETTLED_WITHIN};
use crate::comparison::snapshot::{Snapshot, Window};
use crate::setup_error::SetupError;
use folder::Folder;

/// How long a statement on a copy waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The user's database, and the copy that copies are made from.
#[derive(Debug)]
pub struct Template {
    /// How the user connects.
    options: SqliteConnectOptions,
    folder: Folder,
    base: PathBuf,
    copies: AtomicU32,
}

impl CloneDatabase for Sqlite {
    type Template = Template;

    async fn open_template(url: &str) -> Result<Template, SetupError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(SetupError::sql(
                "the URL is not one of SQLite, such as sqlite://file.db",
            ))?
            .create_if_missing(false);
        let file = options.get_filename();
        // sqlx gives a database in memory a name of its own.
        let in_memory = ["file:sqlx-in-memory-", ":memory:"];
        if url.contains("mode=memory")
            || in_memory
                .iter()
                .any(|name| file.to_string_lossy().starts_with(name))
        {
            return Err(SetupError::new(
                "a database in memory ends with its connections, and every run works on a copy: give a file, \
                 as in `sqlite:///tmp/test.db`",
            ));
        }
        let folder = Folder::new()?;
        let base = folder.file("base");
        let failed =
            || SetupError::sql(format!("the database `{}` can't be copied", file.display()));
        require_migrated::<Self>(options.clone(), &file.display().to_string()).await?;
        let mut source = options.connect().await.map_err(failed())?;
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

    async fn copy(template: &Template) -> Result<DatabaseCopy, SetupError> {
        let number = template.copies.fetch_add(1, Ordering::Relaxed);
        let file = template.folder.file(&number.to_string());
        fs::copy(&template.base, &file).map_err(folder::failed(&file))?;
        Ok(DatabaseCopy::named(folder::text(&file)))
    }

    fn connect_options(
        template: &Template,
        copy: &DatabaseCopy,
        _via: Option<SocketAddr>,
    ) -> SqliteConnectOptions {
        template.options.clone().filename(copy.name())
    }

    async fn advance_sequences(template: &Template, copy: &DatabaseCopy) -> Result<(), SetupError> {
        let mut conn = connect(template, copy).await?;
        let burned = read::advance_sequences(&mut conn).await;
        burned.map_err(SetupError::sql("numbers can't be skipped"))?;
        closed(conn).await
    }

    async fn snapshot(template: &Template, copy: &DatabaseCopy) -> Result<Snapshot, SetupError> {
        let mut conn = connect(template, copy).await?;
        let tables = read::tables(&mut conn).await.map_err(locked("read"))?;
        closed(conn).await?;
        let window = Window::until_now(copy.since);
        Ok(Snapshot { tables, window })
    }

    /// A transaction that only reads shows here unless the journal is a write-ahead log.
    async fn open_transactions(
        template: &Template,
        copy: &DatabaseCopy,
    ) -> Result<Vec<String>, SetupError> {
        let options = Self::connect_options(template, copy, None).busy_timeout(Duration::ZERO);
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

    async fn discard(_template: &Template, copy: DatabaseCopy) -> Result<(), SetupError> {
        folder::remove(copy.name())
    }

    async fn close_template(template: Template) -> Result<(), SetupError> {
        drop(template);
        Ok(())
    }
}

async fn connect(template: &Template, copy: &DatabaseCopy) -> Result<SqliteConnection, SetupError> {
    let options = Sqlite::connect_options(template, copy, None)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(LOCK_TIMEOUT);
    options.connect().await.map_err(locked("opened"))
}

async fn closed(conn: SqliteConnection) -> Result<(), SetupError> {
    conn.close().await.map_err(locked("closed"))
}

/// The low byte is the code without its extension.
fn is_busy(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

fn locked(doing: &str) -> impl FnOnce(sqlx::Error) -> SetupError {
    move |error| {
        let why = if is_busy(&error) {
            ", as a transaction that the run left open has locked it"
        } else {
            ""
        };
        SetupError::sql(format!("the copy can't be {doing}{why}"))(error)
    }
}
