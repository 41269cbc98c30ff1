//! How a relay shows that it lives, and how it is woken: by a connection that listens.

use std::fmt;
use std::future::pending;
use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool, Row as _, raw_sql};
use tokio::time::timeout;
use uuid::Uuid;

use super::literal::text;
use crate::store::{Home, RelaySession};

/// How long a notification of our own may take.
const PROOF: Duration = Duration::from_secs(1);

/// How often a connection is asked whether it is still there, and how long it may take to answer.
/// A server that vanished without a word is noticed so.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(5);

/// What tells a session from an earlier one whose process had the same number. NULL where this role
/// may not see it.
pub(super) const BACKEND_START: &str =
    "(extract(epoch FROM backend_start) * 1000000)::bigint::text";

/// A session, unless its notifications do not come through.
pub struct Session(Option<Listening>);

struct Listening {
    name: String,
    /// `None`: it was lost.
    listener: Option<PgListener>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.name()).finish()
    }
}

impl Session {
    pub(super) async fn open(pool: &PgPool, home: &Home, owner: Uuid) -> Result<Self, sqlx::Error> {
        let options = pool.connect_options();
        let Some(mut listener) = connect(&options, owner).await? else {
            return Ok(Self::pooled());
        };
        listener.listen(&channel(home)).await?;
        let ask = format!(
            "SELECT concat(pid, ' ', {BACKEND_START}) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        );
        let row = listener.fetch_one(raw_sql(AssertSqlSafe(ask))).await?;
        let name = row.try_get(0)?;
        let proof = owner.to_string();
        listener
            .execute(raw_sql(AssertSqlSafe(notify_sql(home, &proof))))
            .await?;
        if timeout(PROOF, received(&mut listener, &proof))
            .await
            .is_err()
        {
            return Ok(Self::pooled());
        }
        Ok(Self(Some(Listening {
            name,
            listener: Some(listener),
        })))
    }

    fn pooled() -> Self {
        tracing::warn!(
            "PostgreSQL is behind a pooler that shares its sessions: other processes can't wake this relay, so it polls; and if \
             this process dies, other relays take over when its lease ends, and not at once. To change both, give the relay a \
             pool that connects to the server itself"
        );
        Self(None)
    }
}

/// The setting that shows whether a session is this connection's own.
const PROBE: &str = "idem.relay";

/// A connection that nobody shares. `None`: a pooler is in between.
///
/// To LISTEN in a session that a pooler shares would send the notifications to other clients, whose
/// drivers take them for a broken protocol. So the connection brings a setting with it that a
/// pooler refuses, or does not pass on.
async fn connect(
    options: &PgConnectOptions,
    owner: Uuid,
) -> Result<Option<PgListener>, sqlx::Error> {
    let probe = owner.simple().to_string();
    // A pool of its own: this connection is not to be had by anybody else.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone().options([(PROBE, &probe)]))
        .await;
    let Ok(own) = own else {
        // Where the server can't be reached at all, this says so.
        let plain = PgConnection::connect_with(options).await?;
        plain.close().await?;
        return Ok(None);
    };
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    let ask = format!("SELECT current_setting('{PROBE}', true)");
    let row = listener.fetch_one(raw_sql(AssertSqlSafe(ask))).await?;
    let found: Option<String> = row.try_get(0)?;
    Ok((found.as_deref() == Some(&*probe)).then_some(listener))
}

/// Waits for this notification. Others may come before it.
async fn received(listener: &mut PgListener, payload: &str) {
    loop {
        match listener.try_recv().await {
            Ok(Some(notification)) if notification.payload() == payload => return,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => pending().await,
        }
    }
}

impl RelaySession for Session {
    fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|listening| listening.name.as_str())
    }

    async fn woken(&mut self) -> Result<(), sqlx::Error> {
        let Some(listening) = &mut self.0 else {
            return pending().await;
        };
        let Some(listener) = &mut listening.listener else {
            return Err(lost());
        };
        let woken = next(listener).await;
        if woken.is_err() {
            // Asked again, it would connect anew, as another session.
            listening.listener = None;
        }
        woken
    }
}

async fn next(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    loop {
        match timeout(PING_EVERY, listener.try_recv()).await {
            Ok(received) => return received?.map(drop).ok_or_else(lost),
            Err(_elapsed) => {
                let ping = listener.execute(raw_sql("SELECT 1"));
                timeout(PING_WITHIN, ping).await.map_err(|_| lost())??;
            }
        }
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::ConnectionAborted.into())
}

/// Wakes the relays of this outbox.
pub(super) async fn notify(conn: &mut PgConnection, home: &Home) -> Result<(), sqlx::Error> {
    let sql = notify_sql(home, "");
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

fn notify_sql(home: &Home, payload: &str) -> String {
    format!("SELECT pg_notify('{}', {})", channel(home), text(payload))
}

fn channel(home: &Home) -> String {
    format!("idem_{}", home.namespace.simple())
}
