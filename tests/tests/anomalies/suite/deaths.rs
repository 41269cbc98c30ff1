//! Processes that are killed about COMMIT, by the hundred: what loses an acknowledgement where
//! there is no network.
//!
//! A process delivers one order and says when its handler has returned, which is when COMMIT is
//! next, and when the call has: its acknowledgement. It is killed at a random time between the two.
//! One that was faster than that is not counted.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Axis;
use super::case_db::CaseDb;
use super::handlers::{Which, applied, deliver};
use crate::faults;
use crate::model::Order;
use crate::stage::{Stage, Verdict};

const WORKERS: usize = 2;

#[derive(Serialize, Deserialize)]
struct Errand {
    url: String,
    axis: Axis,
    order: Order,
}

const ERRAND: &str = "IDEM_TESTS_ERRAND_TO_DIE_ON";

/// Guards: claim and effect are one transaction, so that the next delivery executes if and only if
/// it had not happened.
pub(crate) async fn lose_the_acknowledgement(axis: Axis) {
    let each = faults(10_000, 100) / WORKERS;
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(axis, each));
    }
    let tallies = workers.join_all().await;
    let deaths: usize = tallies.iter().map(|tally| tally.0).sum();
    let committed: usize = tallies.iter().map(|tally| tally.1).sum();
    println!("{axis:?}: {deaths} killed at COMMIT, of which {committed} had committed");
    assert!(deaths >= each * WORKERS);
}

/// Kills this many; returns how many were killed, and how many of these had committed. One writer
/// at a time: each worker has a database of its own.
async fn work(axis: Axis, deaths: usize) -> (usize, usize) {
    let db = CaseDb::start(axis).await;
    let (mut died, mut committed, mut deliveries) = (0, 0, 0);
    // About as long as it takes on this machine, now.
    let mut within = Duration::from_millis(2);
    while died < deaths {
        let order = Order::held(&format!("{deliveries}"), []);
        deliveries += 1;
        let errand = Errand {
            url: db.database().url().into(),
            axis,
            order: order.clone(),
        };
        let death = tokio::task::spawn_blocking(move || one_death(&errand, within));
        let acknowledged = death.await.unwrap();
        within = within.mul_f64(if acknowledged { 0.8 } else { 1.1 });
        let had_committed = match applied(&db.pool, &Order::plain(&order.id)).await.as_str() {
            "Replayed(7)" => true,
            "Executed(7)" => false,
            other => panic!("{other}"),
        };
        if acknowledged {
            assert!(had_committed, "what was acknowledged is there");
        } else {
            died += 1;
            committed += usize::from(had_committed);
        }
    }
    for table in ["effects", "idem_keys", "idem_outbox"] {
        let id = if table == "idem_keys" { "key" } else { "id" };
        for rows in ["count(*)".into(), format!("count(DISTINCT {id})")] {
            let found = db.number(&format!("SELECT {rows} FROM {table}")).await;
            assert_eq!(found, deliveries, "{rows} of {table}");
        }
    }
    db.assert_at_rest(&[&db.pool]).await;
    (died, committed)
}

/// Lets a process deliver, and kills it at a random time within this after its handler has
/// returned. Whether it was faster, and has said that its call returned.
fn one_death(errand: &Errand, within: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "sqlite::deaths::a_process_that_is_killed_at_commit",
            "--exact",
            "--nocapture",
        ])
        .env(ERRAND, serde_json::to_string(errand).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("commits\n") {
        line.clear();
        let bytes = said.read_line(&mut line).unwrap();
        assert!(bytes > 0, "the process ended before it was killed");
    }
    let at = Instant::now() + within.mul_f64(rand::rng().random_range(0.5..1.0));
    while Instant::now() < at {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    line.clear();
    said.read_to_string(&mut line).unwrap();
    line.contains("acknowledged")
}

/// What such a process runs; alone it has nothing to do.
#[test]
fn a_process_that_is_killed_at_commit() {
    let Ok(errand) = std::env::var(ERRAND) else {
        return;
    };
    let errand: Errand = serde_json::from_str(&errand).unwrap();
    crate::run(async move {
        let pool = super::connect(&errand.url, errand.axis, 1).await;
        let stage = Stage::new();
        let (end, ()) = tokio::join!(deliver(Which::Apply, &pool, &errand.order, &stage), async {
            stage.met().await;
            println!("commits");
            stage.let_go_on(Verdict::Well);
        });
        assert_eq!(end, "Executed(7)");
        println!("acknowledged");
    });
}
