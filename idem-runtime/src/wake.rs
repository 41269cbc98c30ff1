//! From a commit to the relays of the same process, without the database in between.

pub(crate) mod notifier;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use sqlx::Pool;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::Error;
use crate::guarded_connection::GuardedConnection;
use crate::schema::store_error;
use crate::store::OutboxStore;

/// By the namespace of the database, since one database may have several pools.
type Sleepers = HashMap<Uuid, Vec<Arc<Notify>>>;

static SLEEPERS: LazyLock<RwLock<Sleepers>> = LazyLock::new(RwLock::default);

/// A relay, or a notifier of others, that waits for new events of one database.
#[derive(Debug)]
pub(crate) struct Sleeper {
    /// Empty until the namespace is known.
    namespace: Mutex<Option<Uuid>>,
    notify: Arc<Notify>,
}

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self {
            namespace: Mutex::new(None),
            notify: Arc::default(),
        }
    }

    /// Waits for a commit in the database with this namespace from now on. It may change while a
    /// program runs.
    pub(crate) fn listen_to(&self, namespace: Uuid) {
        let mut current = self
            .namespace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *current == Some(namespace) {
            return;
        }
        let mut sleepers = SLEEPERS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = current.replace(namespace) {
            remove(&mut sleepers, before, &self.notify);
        }
        sleepers
            .entry(namespace)
            .or_default()
            .push(self.notify.clone());
    }

    /// Waits for the next commit; ends at once if there was one since the last call.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let current = self
            .namespace
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(namespace) = *current {
            let mut sleepers = SLEEPERS.write().unwrap_or_else(PoisonError::into_inner);
            remove(&mut sleepers, namespace, &self.notify);
        }
    }
}

fn remove(sleepers: &mut Sleepers, namespace: Uuid, notify: &Arc<Notify>) {
    if let Some(those) = sleepers.get_mut(&namespace) {
        those.retain(|other| !Arc::ptr_eq(other, notify));
        if those.is_empty() {
            sleepers.remove(&namespace);
        }
    }
}

/// Wakes those in this process that wait for events of this database.
pub(crate) fn committed(namespace: Uuid) {
    let sleepers = SLEEPERS.read().unwrap_or_else(PoisonError::into_inner);
    for sleeper in sleepers.get(&namespace).into_iter().flatten() {
        sleeper.notify_one();
    }
}

/// Wakes the relays of this database: those of this process, and on PostgreSQL those of other
/// processes too.
///
/// A call that commits wakes the relays of its process by itself, and on PostgreSQL
/// [`spawn_upkeep`](crate::spawn_upkeep) wakes those of other processes. But this crate does not
/// see the COMMIT of a transaction of your own that handlers joined: call this after it, if
/// [`poll_interval`](crate::Relay::poll_interval) is too long to wait. Nothing is lost without it.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let tx = pool.begin().await?;
/// // ... handlers that emit events, called with the transaction
/// tx.commit().await?;
/// idem_runtime::wake(pool).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn wake<DB: OutboxStore>(pool: &Pool<DB>) -> Result<(), Error> {
    let (mut conn, home) = GuardedConnection::at_home(pool)
        .await
        .map_err(store_error::<DB>)?;
    committed(home.namespace);
    let notified = DB::notify(conn.connection(), &home).await;
    conn.done(notified).map_err(store_error::<DB>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_wakes_those_who_wait_for_this_database_even_before_they_wait() {
        let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let [first, second, elsewhere] = [Sleeper::new(), Sleeper::new(), Sleeper::new()];
        first.listen_to(one);
        second.listen_to(other);
        second.listen_to(one);
        elsewhere.listen_to(other);
        committed(one);
        first.woken().await;
        second.woken().await;
        let elsewhere = elsewhere.notify.notified();
        assert!(futures_util::FutureExt::now_or_never(elsewhere).is_none());
    }

    #[test]
    fn who_ended_is_forgotten() {
        let namespace = Uuid::from_u128(3);
        let sleeper = Sleeper::new();
        sleeper.listen_to(namespace);
        drop(sleeper);
        let sleepers = SLEEPERS.read().unwrap_or_else(PoisonError::into_inner);
        assert!(!sleepers.contains_key(&namespace));
    }
}
