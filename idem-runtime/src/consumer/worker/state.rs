//! What a running consumer knows.

pub(super) mod held;
pub(super) mod outage;
pub(super) mod parking;
pub(super) mod receiving;
pub(super) mod task;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use sqlx::Pool;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use self::held::Held;
use self::outage::Outage;
use self::parking::Parking;
use self::receiving::{Received, Receiving, StopOnDrop, start_receiving};
use self::task::{Done, on_connection};
use crate::consumer::error::ConsumerError;
use crate::consumer::lanes::{Lanes, Ticket};
use crate::consumer::options::{Amount, OWN_CONNECTIONS, Options, STATEMENT_LIMIT};
use crate::consumer::route::{Ended, Routes};
use crate::consumer::stats::ConsumerStats;
use crate::guarded_connection::GuardedConnection;
use crate::inbox::{Inbox, InboxDelivery};
use crate::source::{Clock, Either, Handover, Partition, Source};
use crate::statement::{StatementError, within};
use crate::store::{ConsumerStore, ErrorClass, Home, MessageId};
use crate::telemetry::consumer::ConsumerMetrics;

/// A delivery of the source, or of what is put aside.
pub(super) type Hand<S, DB> = Either<<S as Source>::Delivery, InboxDelivery<DB>>;

pub(super) struct Worker<S: Source, DB: ConsumerStore> {
    pub(super) name: Arc<str>,
    pub(super) pool: Pool<DB>,
    pub(super) home: Arc<Home>,
    pub(super) source: StopOnDrop<S>,
    pub(super) clock: Clock,
    pub(super) routes: Routes<DB>,
    pub(super) options: Options,
    pub(super) arrivals: mpsc::Receiver<Received<S::Delivery>>,
    pub(super) receiving: Receiving,
    /// What is put aside, as a source.
    pub(super) parked: Inbox<DB>,
    pub(super) stop_parked: StopOnDrop<Inbox<DB>>,
    pub(super) parked_arrivals: mpsc::Receiver<Received<InboxDelivery<DB>>>,
    pub(super) parked_receiving: Receiving,
    pub(super) parking: Parking,
    pub(super) lanes: Lanes,
    /// Everything that was handed out and is not being settled.
    pub(super) held: HashMap<Ticket, Held<Hand<S, DB>>>,
    /// What is being settled.
    pub(super) settling: HashMap<Ticket, Partition>,
    pub(super) next: Ticket,
    pub(super) amount: Amount,
    /// What runs; how each delivery of a run ended.
    pub(super) running: JoinSet<Vec<Ended>>,
    pub(super) runs: HashMap<Id, Vec<Ticket>>,
    pub(super) tasks: JoinSet<Done>,
    pub(super) counts: Counts,
    pub(super) burials: Burials,
    pub(super) forgets: Forgets,
    /// When to extend a delivery.
    pub(super) extensions: BTreeSet<(Instant, Ticket)>,
    /// When to warn of a delivery that can't be kept for much longer.
    pub(super) warnings: BTreeSet<(Instant, Ticket)>,
    pub(super) outage: Outage,
    pub(super) revocations: Vec<Revocation>,
    pub(super) leaving: Option<Leaving>,
    pub(super) fatal: Option<ConsumerError>,
    pub(super) stats: ConsumerStats,
    pub(super) metrics: ConsumerMetrics,
}

/// Attempts to count: before they run, or with the reason why they failed.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) wanted: VecDeque<(Ticket, Option<String>)>,
    /// How many of the wanted, and of what is being counted, have not run.
    pub(super) not_run: usize,
    pub(super) is_running: bool,
}

/// Dead letters to write.
#[derive(Debug, Default)]
pub(super) struct Burials {
    pub(super) wanted: VecDeque<Ticket>,
    pub(super) is_running: bool,
}

/// Attempts to delete or to take back, when there is time.
#[derive(Debug, Default)]
pub(super) struct Forgets {
    pub(super) done: Vec<MessageId>,
    pub(super) interrupted: Vec<MessageId>,
    pub(super) is_running: bool,
}

/// Partitions that the broker takes away.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) partitions: Vec<Partition>,
    /// Dropped with this.
    pub(super) _handover: Handover,
    /// When what runs is interrupted.
    pub(super) deadline: Instant,
}

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// When what runs is interrupted, by the consumer's clock.
    pub(super) deadline: Instant,
    /// When nothing is waited for any more, by the runtime's clock. Set at the deadline.
    pub(super) last: Option<Instant>,
}

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    pub(super) async fn start(
        name: String,
        source: S,
        pool: Pool<DB>,
        routes: Routes<DB>,
        mut options: Options,
    ) -> Result<Self, ConsumerError> {
        let connections = pool.options().get_max_connections();
        if connections <= OWN_CONNECTIONS {
            return Err(ConsumerError::PoolTooSmall { connections });
        }
        let most = (connections - OWN_CONNECTIONS) as usize;
        if options.concurrency > most {
            tracing::warn!(
                consumer = name,
                concurrency = options.concurrency,
                max_connections = connections,
                "the consumer runs {most} deliveries at once: the pool has no more connections, and two are for attempts and dead \
                 letters; give the pool {} to run as many as were asked for",
                options.concurrency + OWN_CONNECTIONS as usize
            );
            options.concurrency = most;
        }
        if options.batch == 1 {
            for scope in routes.batch_scopes() {
                tracing::warn!(
                    consumer = name,
                    idem.scope = scope,
                    "this handler takes many messages at once, and gets one at a time; give the consumer `.batch(100)`, or how many \
                     one transaction is to handle"
                );
            }
        }
        let home = find_home(&pool)
            .await
            .map_err(|failed| match failed.class::<DB>() {
                ErrorClass::NotMigrated => ConsumerError::NotMigrated,
                _ => ConsumerError::Store(failed.into_error()),
            })?;
        let name: Arc<str> = name.into();
        let probed = on_connection(&pool, STATEMENT_LIMIT, {
            let (home, name) = (home.clone(), Arc::clone(&name));
            move |conn| Box::pin(async move { DB::probe(conn, &home, &name).await })
        });
        probed.await.map_err(|failed| match failed.class::<DB>() {
            ErrorClass::NotMigrated => ConsumerError::NotMigrated,
            _ => ConsumerError::Store(failed.into_error()),
        })?;
        let source = Arc::new(source);
        let clock = source.clock();
        let (receiving, arrivals) = start_receiving(Arc::clone(&source));
        let parked = Inbox::parked(pool.clone(), name.to_string());
        let parked_source = Arc::new(parked.clone());
        let (parked_receiving, parked_arrivals) = start_receiving(Arc::clone(&parked_source));
        Ok(Self {
            metrics: ConsumerMetrics::new(Arc::clone(&name)),
            name,
            pool,
            home: Arc::new(home),
            source: StopOnDrop(source),
            clock,
            routes,
            options,
            arrivals,
            receiving,
            parked,
            stop_parked: StopOnDrop(parked_source),
            parked_arrivals,
            parked_receiving,
            parking: Parking::default(),
            lanes: Lanes::default(),
            held: HashMap::new(),
            settling: HashMap::new(),
            next: 0,
            amount: Amount::default(),
            running: JoinSet::new(),
            runs: HashMap::new(),
            tasks: JoinSet::new(),
            counts: Counts::default(),
            burials: Burials::default(),
            forgets: Forgets::default(),
            extensions: BTreeSet::new(),
            warnings: BTreeSet::new(),
            outage: Outage::default(),
            revocations: Vec::new(),
            leaving: None,
            fatal: None,
            stats: ConsumerStats::default(),
        })
    }

    /// When something is due by the consumer's clock.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let leaving = self.leaving.filter(|leaving| leaving.last.is_none());
        let timers = [
            self.lanes.next_due(),
            self.extensions.first().map(|(due, _)| *due),
            self.warnings.first().map(|(due, _)| *due),
            leaving.map(|leaving| leaving.deadline),
            self.revocations
                .iter()
                .map(|revocation| revocation.deadline)
                .filter(|deadline| *deadline > now)
                .min(),
        ];
        timers.into_iter().flatten().min()
    }

    /// When something is due by the runtime's clock: an outage ends when it ends, whatever a test
    /// says.
    pub(super) fn next_real(&self) -> Option<Instant> {
        let timers = [
            self.outage.next_probe(),
            // Nothing is read in an outage, whose end wakes the consumer.
            self.parking.next_read().filter(|_| !self.outage.is_on()),
            self.receiving.paused_until(),
            self.parked_receiving.paused_until(),
            self.leaving.and_then(|leaving| leaving.last),
        ];
        timers.into_iter().flatten().min()
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.leaving.is_some()
    }
}

pub(super) async fn find_home<DB: ConsumerStore>(pool: &Pool<DB>) -> Result<Home, StatementError> {
    let found = async {
        let (conn, home) = GuardedConnection::at_home(pool).await?;
        conn.done(Ok(home))
    };
    within(STATEMENT_LIMIT, found).await
}
