//! All that one run of a relay knows.

pub(crate) mod full_look;
pub(crate) mod membership;
pub(crate) mod outage;
pub(crate) mod pause;
pub(crate) mod reading;
pub(crate) mod running_calls;
pub(crate) mod session;
pub(crate) mod settling;
pub(crate) mod task;

use std::sync::Arc;

use sqlx::Pool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use self::membership::Membership;
use self::outage::Outage;
use self::pause::Pause;
use self::reading::Reading;
use self::running_calls::RunningCalls;
use self::settling::Settling;
use self::task::Done;
use crate::publisher::{Publisher, Report, channel};
use crate::relay::calls::Calls;
use crate::relay::lanes::Lanes;
use crate::relay::options::Options;
use crate::relay::stats::RelayStats;
use crate::store::OutboxStore;
use crate::wake::Sleeper;

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When it is asked to.
    Shutdown,
    /// When nothing is left to publish.
    Empty,
}

pub(crate) struct Worker<DB: OutboxStore, P> {
    pub(crate) pool: Pool<DB>,
    pub(crate) publisher: Arc<P>,
    pub(crate) options: Arc<Options>,
    pub(crate) owner: Uuid,
    pub(crate) until: Until,
    pub(crate) stats: RelayStats,
    pub(crate) membership: Membership<DB>,
    pub(crate) reading: Reading,
    pub(crate) lanes: Lanes,
    pub(crate) calls: Calls,
    pub(crate) pause: Pause,
    pub(crate) settling: Settling,
    pub(crate) outage: Outage,
    /// Statements.
    pub(crate) tasks: JoinSet<Done<DB>>,
    pub(crate) running: RunningCalls,
    pub(crate) reports: UnboundedSender<Report>,
    pub(crate) heard: UnboundedReceiver<Report>,
    pub(crate) sleeper: Sleeper,
    /// Since when nothing new is begun.
    pub(crate) stopping_since: Option<Instant>,
}

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(crate) fn new(
        pool: Pool<DB>,
        publisher: Arc<P>,
        options: Arc<Options>,
        until: Until,
    ) -> Self {
        let (reports, heard) = channel();
        let owner = Uuid::now_v7();
        Self {
            membership: Membership::new(pool.clone(), owner, &options),
            pool,
            publisher,
            options,
            owner,
            until,
            stats: RelayStats::default(),
            reading: Reading::default(),
            lanes: Lanes::default(),
            calls: Calls::default(),
            pause: Pause::default(),
            settling: Settling::default(),
            outage: Outage::default(),
            tasks: JoinSet::new(),
            running: RunningCalls::default(),
            reports,
            heard,
            sleeper: Sleeper::new(),
            stopping_since: None,
        }
    }

    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping_since.is_some()
    }
}
