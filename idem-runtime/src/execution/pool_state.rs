//! What this process knows of a pool: where its tables are, and which keys it is handling.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use sqlx::{Database, Pool};

use super::in_flight::KeysInFlight;
use crate::store::Home;

/// Shared by the clones of a pool, for as long as it has the same connect options.
#[derive(Debug)]
pub(crate) struct PoolState {
    /// Never given to another pool.
    number: u64,
    home: RwLock<Option<Arc<Home>>>,
    pub(super) in_flight: Arc<KeysInFlight>,
}

/// By the address of the connect options. The weak reference keeps that address taken: otherwise a
/// later pool, on another database, could get it.
type States = HashMap<usize, (Weak<dyn Any + Send + Sync>, Arc<PoolState>)>;

static STATES: LazyLock<Mutex<States>> = LazyLock::new(Mutex::default);

fn states() -> MutexGuard<'static, States> {
    // The map is consistent after every line that holds the lock, so a panic elsewhere does no
    // harm.
    STATES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PoolState {
    pub(crate) fn of<DB: Database>(pool: &Pool<DB>) -> Arc<Self> {
        let options = pool.connect_options();
        let address = Arc::as_ptr(&options).addr();
        let mut states = states();
        if let Some((_, state)) = states.get(&address) {
            return state.clone();
        }
        states.retain(|_, (options, _)| options.strong_count() > 0);
        let state = Arc::new(Self::new());
        let options: Arc<dyn Any + Send + Sync> = options;
        states.insert(address, (Arc::downgrade(&options), state.clone()));
        state
    }

    fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            home: RwLock::default(),
            in_flight: Arc::default(),
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn home(&self) -> Option<Arc<Home>> {
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        home.clone()
    }

    pub(super) fn set_home(&self, home: Option<Arc<Home>>) {
        *self.home.write().unwrap_or_else(PoisonError::into_inner) = home;
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::SqlitePool;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    fn pool() -> SqlitePool {
        SqlitePool::connect_lazy_with(SqliteConnectOptions::new().in_memory(true))
    }

    #[tokio::test]
    async fn clones_of_a_pool_share_a_state_and_other_pools_have_their_own() {
        let [one, other] = [pool(), pool()];
        let number = |pool: &SqlitePool| PoolState::of(pool).number();
        assert_eq!(number(&one), number(&one.clone()));
        assert_ne!(number(&one), number(&other));
    }

    /// Guards: the weak reference. Without it most of these pools get the address of the one
    /// before.
    #[tokio::test]
    async fn a_pool_never_gets_the_state_of_one_that_was_dropped() {
        let numbers: Vec<u64> = (0..200).map(|_| PoolState::of(&pool()).number()).collect();
        let distinct: std::collections::HashSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), 200);
    }

    #[tokio::test]
    async fn other_connect_options_are_another_state() {
        let pool = pool();
        let before = PoolState::of(&pool).number();
        pool.set_connect_options(SqliteConnectOptions::new());
        assert_ne!(PoolState::of(&pool).number(), before);
    }

    #[tokio::test]
    async fn states_of_dropped_pools_are_forgotten() {
        for _ in 0..100 {
            PoolState::of(&pool());
        }
        let kept = pool();
        PoolState::of(&kept);
        assert!(states().len() < 50);
    }
}
