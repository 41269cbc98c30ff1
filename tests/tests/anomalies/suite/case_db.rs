//! A database of a case with tables, and what is asserted of it after the case.

use std::sync::Mutex;

use idem_tests::event_id;
use idem_tests::server::Database;
use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use super::handlers::applied;
use super::{Axis, CLAIMS, CLEAN, EVENTS, LEASED, NAMESPACE, Pool, SETTINGS, SETUP};
use crate::POLL_EVERY;
use crate::model::{Order, State, event};

/// A database at one point of its axis.
#[derive(Debug)]
pub(crate) struct CaseDb {
    pub(crate) axis: Axis,
    /// Duplicates come from here: to a first delivery on a pool of its own it is what another
    /// process is.
    pub(crate) pool: Pool,
    /// One connection, for what a test asks.
    pub(crate) admin: Pool,
    settings: String,
    database: Option<Database>,
}

/// Databases whose case has passed.
static FREE: Mutex<Vec<Database>> = Mutex::new(Vec::new());

impl CaseDb {
    pub(crate) async fn start(axis: Axis) -> Self {
        let free = FREE.lock().expect("nobody panics with it").pop();
        let used = free.is_some();
        let database = match free {
            Some(database) => database,
            None => super::new_database().await,
        };
        let admin = super::connect(database.url(), axis, 1).await;
        if !used {
            idem_runtime::migrate(&admin).await.unwrap();
        }
        for sql in if used { CLEAN } else { SETUP } {
            raw_sql(*sql).execute(&admin).await.unwrap();
        }
        let settings = raw_sql(SETTINGS).fetch_one(&admin).await.unwrap().get(0);
        Self {
            axis,
            pool: super::connect(database.url(), axis, 1).await,
            admin,
            settings,
            database: Some(database),
        }
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("it is there until the end")
    }

    /// Another pool of this database.
    pub(crate) async fn connect(&self, connections: u32) -> Pool {
        super::connect(self.database().url(), self.axis, connections).await
    }

    pub(crate) async fn execute(&self, sql: &str) {
        raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.admin)
            .await
            .unwrap();
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let rows = raw_sql(AssertSqlSafe(sql.to_owned()));
        rows.fetch_one(&self.admin).await.unwrap().get(0)
    }

    /// What is committed.
    pub(crate) async fn state(&self) -> State {
        let effects = raw_sql("SELECT id FROM effects ORDER BY id");
        let effects = effects.fetch_all(&self.admin).await.unwrap();
        let claims = raw_sql(CLAIMS).fetch_all(&self.admin).await.unwrap();
        let events = raw_sql(EVENTS).fetch_all(&self.admin).await.unwrap();
        let namespace = raw_sql(NAMESPACE).fetch_one(&self.admin).await.unwrap();
        let named = |id: String| {
            let of = |order| event_id(namespace.get(0), "anomalies.apply", order, "Done", 0);
            let order = ["o", "p"].into_iter().find(|order| of(order) == id);
            order.map_or(id, event)
        };
        State {
            effects: effects.iter().map(|row| row.get(0)).collect(),
            claims: claims
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get(2)))
                .collect(),
            events: events.iter().map(|row| named(row.get(0))).collect(),
        }
    }

    pub(crate) async fn assert_state(&self, expected: &State) {
        assert_eq!(self.state().await, *expected);
    }

    /// No transaction is open, and each connection that a pool can give works, is in no
    /// transaction, and has its settings.
    pub(crate) async fn assert_at_rest(&self, pools: &[&Pool]) {
        super::assert_no_open_transaction(self).await;
        for pool in pools {
            let mut held = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                let mut conn = pool.acquire().await.unwrap();
                assert!(!sqlx::Connection::is_in_transaction(&*conn));
                let found = raw_sql(SETTINGS).fetch_one(&mut *conn).await.unwrap();
                assert_eq!(found.get::<String, _>(0), self.settings);
                held.push(conn);
            }
        }
    }

    /// The end of most cases: what is there, that the connections are fit, what the next delivery
    /// of `o` gets, and what is there after that.
    pub(crate) async fn assert_then(&self, pools: &[&Pool], now: State, next: &str, then: State) {
        self.assert_state(&now).await;
        self.assert_at_rest(pools).await;
        assert_eq!(applied(&self.pool, &Order::plain("o")).await, next);
        self.assert_state(&then).await;
        self.assert_at_rest(&[&self.pool]).await;
    }

    /// The same where the next delivery replays, or executes and makes all of it.
    pub(crate) async fn assert_whole_if(&self, committed: bool, pools: &[&Pool]) {
        let next = if committed {
            "Replayed(7)"
        } else {
            "Executed(7)"
        };
        self.assert_then(pools, State::whole_if(committed), next, State::whole())
            .await;
    }

    /// Waits until this many statements wait in the database.
    pub(crate) async fn until_waiting(&self, pool: &Pool, statements: i64) {
        while super::waiting(self, pool).await < statements {
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

impl Drop for CaseDb {
    fn drop(&mut self) {
        if LEASED
            && !std::thread::panicking()
            && let Some(database) = self.database.take()
        {
            FREE.lock().expect("nobody panics with it").push(database);
        }
    }
}
