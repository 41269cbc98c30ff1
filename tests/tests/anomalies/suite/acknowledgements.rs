//! Acknowledgements of COMMIT that are lost with their connection, by the thousand. The next
//! delivery finds out whether it had happened.
//!
//! Each worker has a proxy of its own, so that the cut falls on its own request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use idem_tests::proxy::{Proxy, When};
use rand::Rng as _;
use tokio::task::JoinSet;

use super::case_db::CaseDb;
use super::handlers::applied;
use super::{Axis, COMMITS, Pool};
use crate::faults;
use crate::model::Order;

const WORKERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    /// Once the server answers the request that commits, in place of the answer.
    Reply,
    /// When the request that commits is sent, before it reaches the server.
    Request,
    /// At any time, from the connection on.
    AtRandom,
}

/// How many were cut, and how many of these had committed.
type Tally = BTreeMap<Cut, (usize, usize)>;

/// Guards: a connection that breaks under way is `CommitUnknown` and not an error to act upon;
/// claim and effect are one transaction, so that the next delivery executes if and only if it had
/// not happened.
pub(crate) async fn lost(axis: Axis) {
    let db = CaseDb::start(axis).await;
    let replies = faults(10_000, 300);
    let each = |cuts: usize| cuts.div_ceil(WORKERS);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let mut cuts = vec![Cut::Reply; each(replies)];
        cuts.extend(vec![Cut::Request; each(replies / 4)]);
        cuts.extend(vec![Cut::AtRandom; each(replies / 4)]);
        let proxy = Proxy::start(db.database().address().unwrap()).unwrap();
        let url = db.database().url_through(proxy.address());
        let cut_off = super::connect(&url, axis, 1).await;
        let direct = db.connect(1).await;
        workers.spawn(async move { work(worker, &cuts, &proxy, &cut_off, &direct).await });
    }
    let mut tally = Tally::new();
    for worker in workers.join_all().await {
        for (cut, (times, committed)) in worker {
            let sum = tally.entry(cut).or_default();
            sum.0 += times;
            sum.1 += committed;
        }
    }
    for (cut, (times, committed)) in &tally {
        println!("{cut:?}: {times} cut, of which {committed} had committed");
    }
    let deliveries: usize = tally.values().map(|(times, _)| times).sum();
    for table in ["effects", "idem_keys", "idem_outbox"] {
        for rows in [
            format!("SELECT count(*) FROM {table}"),
            format!(
                "SELECT count(DISTINCT {}) FROM {table}",
                if table == "idem_keys" {
                    super::KEY
                } else {
                    "id"
                }
            ),
        ] {
            let found = db.number(&rows).await;
            assert_eq!(usize::try_from(found).unwrap(), deliveries, "{rows}");
        }
    }
    let ended = db.number("SELECT count(*) FROM idem_keys WHERE state = 1");
    assert_eq!(usize::try_from(ended.await).unwrap(), deliveries);
    // Each of these is known for certain.
    let (replies, requests) = (tally[&Cut::Reply], tally[&Cut::Request]);
    assert_eq!((replies.1, requests.1), (replies.0, 0));
    db.assert_at_rest(&[&db.pool]).await;
}

async fn work(worker: usize, cuts: &[Cut], proxy: &Proxy, cut_off: &Pool, direct: &Pool) -> Tally {
    let mut tally = Tally::new();
    let mut usual = Duration::from_millis(5);
    for (number, cut) in cuts.iter().enumerate() {
        let order = Order::plain(&format!("{worker}.{number}"));
        match cut {
            Cut::Reply | Cut::Request => {
                let at_commit = When::Contains(COMMITS);
                let lost = match cut {
                    Cut::Reply => proxy.lose_reply(at_commit),
                    _ => proxy.lose_request(at_commit),
                };
                let started = Instant::now();
                assert_eq!(applied(cut_off, &order).await, "CommitUnknown");
                assert!(lost.happened());
                usual = (usual + started.elapsed()) / 2;
            }
            Cut::AtRandom => {
                let share = rand::rng().random_range(0.0..1.2);
                let at = Instant::now() + usual.mul_f64(share);
                let (end, ()) = tokio::join!(applied(cut_off, &order), async {
                    while Instant::now() < at {
                        tokio::task::yield_now().await;
                    }
                    proxy.cut_all();
                });
                assert!(!end.starts_with("Replayed"), "{end}");
            }
        }
        let had_committed = match applied(direct, &order).await.as_str() {
            "Replayed(7)" => true,
            "Executed(7)" => false,
            other => panic!("{cut:?}: {other}"),
        };
        let (times, committed) = tally.entry(*cut).or_default();
        *times += 1;
        *committed += usize::from(had_committed);
    }
    tally
}
