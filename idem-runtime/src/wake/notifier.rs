//! From the commits of this process to the relays of others.

use std::time::Duration;

use sqlx::Pool;
use tokio::time::{sleep, timeout};

use super::Sleeper;
use crate::guarded_connection::GuardedConnection;
use crate::store::{Home, OutboxStore};
use crate::telemetry::Redacted;

/// At most one notification in this time.
const SPACING: Duration = Duration::from_millis(5);

/// How often to look whether the tables have moved or have another namespace.
const LOOK_FOR_HOME: Duration = Duration::from_mins(1);

/// How long one notification may take, and how soon one that failed is tried again.
const LIMIT: Duration = Duration::from_secs(5);

/// Notifies the relays of other processes after commits of this one, until it is dropped. Not part
/// of any handler's transaction: a NOTIFY there takes a lock that all commits share.
pub(crate) async fn notify_others<DB: OutboxStore>(pool: &Pool<DB>) {
    if !DB::NOTIFIES {
        return;
    }
    let sleeper = Sleeper::new();
    let mut home = None;
    loop {
        match timeout(LIMIT, notify(pool, &sleeper, &mut home)).await {
            Ok(Ok(())) => sleep(SPACING).await,
            Ok(Err(error)) => {
                if pool.is_closed() {
                    return;
                }
                failed(&Redacted(&error));
                home = None;
                sleep(LIMIT).await;
                continue;
            }
            Err(_elapsed) => {
                failed(&"no answer in time");
                home = None;
                continue;
            }
        }
        if timeout(LOOK_FOR_HOME, sleeper.woken()).await.is_err() {
            home = None;
        }
    }
}

/// The first time, it also finds out where the tables are. Commits before that found no listener
/// here: this notification stands for them, too.
async fn notify<DB: OutboxStore>(
    pool: &Pool<DB>,
    sleeper: &Sleeper,
    known: &mut Option<Home>,
) -> Result<(), sqlx::Error> {
    let (mut conn, home) = if let Some(home) = known {
        (GuardedConnection::acquire(pool).await?, home)
    } else {
        let (conn, home) = GuardedConnection::at_home(pool).await?;
        sleeper.listen_to(home.namespace);
        (conn, known.insert(home))
    };
    let notified = DB::notify(conn.connection(), home).await;
    conn.done(notified)
}

fn failed(error: &dyn std::fmt::Display) {
    tracing::debug!(
        %error,
        "the relays of other processes could not be notified; they find the events by polling"
    );
}
