//! How a relay shows that it lives: by a lock on a file of its own next to the database. The system
//! takes the lock from a process that dies.

use std::fs::{self, File};
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::{Row as _, SqlitePool};
use uuid::Uuid;

use super::round_trip::fetch_last;
use crate::store::RelaySession;

const PREFIX: &str = "idem-relay-";

/// The file of the database, if it is in one.
pub(super) const DATABASE: &str = "(SELECT file FROM pragma_database_list WHERE name = 'main')";

#[derive(Debug)]
pub struct Session(Option<Locked>);

#[derive(Debug)]
struct Locked {
    name: String,
    path: PathBuf,
    /// The lock ends with it.
    _file: File,
}

impl Session {
    pub(super) async fn open(pool: &SqlitePool, owner: Uuid) -> Result<Self, sqlx::Error> {
        let mut conn = pool.acquire().await?;
        let row = fetch_last(&mut conn, format!("SELECT {DATABASE}")).await?;
        let database: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        let Some(database) = database.filter(|database| !database.is_empty()) else {
            return Ok(Self(None));
        };
        let name = format!("{PREFIX}{}", owner.simple());
        let path = path(&database, &name);
        match lock(&path) {
            Ok(file) => Ok(Self(Some(Locked {
                name,
                path,
                _file: file,
            }))),
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "can't create and lock the file by which other relays see that this one is alive: if this process dies, \
                     they take over when its lease ends, and not at once. Let this user create files in the folder of the \
                     database"
                );
                Ok(Self(None))
            }
        }
    }
}

impl RelaySession for Session {
    fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|locked| locked.name.as_str())
    }

    async fn woken(&mut self) -> Result<(), sqlx::Error> {
        pending().await
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // What stays is removed by the relay that takes over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Only the end of the path is in the table: processes may see the same folder under other names.
fn path(database: &str, name: &str) -> PathBuf {
    format!("{database}-{name}").into()
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// The lock file of a session, unless somebody else wrote the name.
fn lock_file(database: &str, session: &str) -> Option<PathBuf> {
    let owner = session.strip_prefix(PREFIX)?;
    Uuid::try_parse(owner).ok()?;
    Some(path(database, session))
}

/// Whether the process that held the session is gone, as far as that can be known.
pub(super) fn is_gone(database: &str, session: &str) -> bool {
    let Some(path) = lock_file(database, session) else {
        return false;
    };
    match File::open(path) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Removes what a session left behind that is gone.
pub(super) fn clean_up(database: &str, session: &str) {
    let Some(path) = lock_file(database, session) else {
        return;
    };
    if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
        let _ = fs::remove_file(path);
    }
}
