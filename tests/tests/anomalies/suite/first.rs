//! The first delivery of an order, held in its body until its fate is known.

use std::sync::Arc;

use idem_tests::proxy::Proxy;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::case_db::CaseDb;
use super::handlers::{Which, deliver};
use super::{KILLS_PROCESSES, Pool};
use crate::fate::Fate;
use crate::model::Order;
use crate::stage::{Stage, Verdict};

/// A delivery whose handler has arrived where it meets its test.
#[derive(Debug)]
pub(crate) struct First {
    /// What it was delivered to: a duplicate on this pool is one in the same process.
    pub(crate) pool: Pool,
    pub(crate) stage: Arc<Stage>,
    proxy: Option<Proxy>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Here(JoinHandle<String>),
    /// In a process of its own.
    There(Child),
}

impl First {
    pub(crate) async fn start(db: &CaseDb, fate: Fate, which: Which, order: Order) -> Self {
        Self::start_among(1, db, fate, which, order).await
    }

    /// The same on a pool of this many connections.
    pub(crate) async fn start_among(
        connections: u32,
        db: &CaseDb,
        fate: Fate,
        which: Which,
        order: Order,
    ) -> Self {
        let (pool, proxy) = pool_for(db, fate, connections).await;
        let stage = Arc::new(Stage::new());
        let held = if fate == Fate::IsKilled && KILLS_PROCESSES {
            Held::There(super::child(db, which, &order).await)
        } else {
            let task = tokio::spawn({
                let (pool, stage) = (pool.clone(), Arc::clone(&stage));
                async move { deliver(which, &pool, &order, &stage).await }
            });
            stage.met().await;
            Held::Here(task)
        };
        Self {
            pool,
            stage,
            proxy,
            held,
        }
    }

    /// Brings its fate about, and returns how the call ended; `-` if it did not.
    pub(crate) async fn ends(&mut self, db: &CaseDb, fate: Fate) -> String {
        let verdict = match fate {
            Fate::RollsBack => Verdict::Refused,
            _ => Verdict::Well,
        };
        self.ends_by(db, fate, verdict).await
    }

    /// The same; `verdict` is what its body says.
    pub(crate) async fn ends_by(&mut self, db: &CaseDb, fate: Fate, verdict: Verdict) -> String {
        let task = match &mut self.held {
            Held::Here(task) => task,
            Held::There(child) => {
                child.kill().await.unwrap();
                return "-".into();
            }
        };
        match fate {
            Fate::Commits | Fate::RollsBack => {}
            Fate::IsDropped => {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
                return "-".into();
            }
            Fate::IsKilled => super::kill(db, self.stage.session()).await,
            Fate::IsCut => self.proxy.as_ref().expect("it leads to it").cut_all(),
        }
        self.stage.let_go_on(verdict);
        task.await.unwrap()
    }
}

/// A pool that a connection can be cut of.
pub(super) async fn pool_for(db: &CaseDb, fate: Fate, connections: u32) -> (Pool, Option<Proxy>) {
    let database = db.database();
    let (Fate::IsCut, Some(address)) = (fate, database.address()) else {
        return (db.connect(connections).await, None);
    };
    let proxy = Proxy::start(address).unwrap();
    let url = database.url_through(proxy.address());
    (
        super::connect(&url, db.axis, connections).await,
        Some(proxy),
    )
}

/// How a call in its own transaction ends.
pub(super) fn end_of(fate: Fate, executed: &str) -> String {
    if fate == Fate::IsKilled && KILLS_PROCESSES {
        return "-".into();
    }
    fate.end(executed)
}
