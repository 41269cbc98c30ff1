//! How a relay shows that it lives: by a lock that the server takes from a connection that ends.

use std::fmt;
use std::io;
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, MySqlPool, Row as _, raw_sql};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::store::ErrorClass;
use crate::store::RelaySession;
use crate::store::verdict::verdict;

/// How often the connection is asked whether it is still there, and how long it may take to answer.
/// The server says nothing by itself.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Which server a lock is on: replicas and the other nodes of a cluster have their own.
pub(super) const SERVER: &str = "CONCAT(@@hostname, ':', @@port)";

/// What the name of a session's lock looks like.
pub(super) const LOCK_NAME: &str = "^idem_[0-9a-f]{32}$";

pub struct Session {
    name: String,
    connection: MySqlConnection,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.name).finish()
    }
}

impl Session {
    pub(super) async fn open(pool: &MySqlPool, owner: Uuid) -> Result<Self, sqlx::Error> {
        let mut connection = MySqlConnection::connect_with(&pool.connect_options()).await?;
        let lock = format!("idem_{}", owner.simple());
        let sql = format!("SELECT GET_LOCK('{lock}', 0), {SERVER}");
        let row = raw_sql(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await?;
        if row.try_get::<Option<i64>, _>(0)? != Some(1) {
            // The relay's own session from before, which the server still holds for alive.
            return Err(verdict(ErrorClass::TimedOut));
        }
        let server: String = row.try_get(1)?;
        Ok(Self {
            name: format!("{server} {lock}"),
            connection,
        })
    }
}

impl RelaySession for Session {
    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    async fn woken(&mut self) -> Result<(), sqlx::Error> {
        loop {
            sleep(PING_EVERY).await;
            let ping = timeout(PING_WITHIN, self.connection.ping()).await;
            ping.map_err(|_elapsed| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??;
        }
    }
}
