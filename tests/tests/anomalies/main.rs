//! The anomaly table: what can go wrong with a delivery, at every isolation level, however the
//! first delivery ends.
//!
//! A *row* is a function of `suite/` that takes the axis of its database and the [`fate::Fate`] of
//! a transaction; `cases.rs` names each combination that exists as a test of its own,
//! `postgres::repeatable_read::first_is_killed::…`. The files in `suite/` are compiled once for
//! each database, against the module that includes them. Each row asserts the whole state: effects,
//! claims, events, settings of every connection, no open transaction, and what the next delivery
//! gets. Where a database behaves differently, a constant of its module says so.
//!
//! The modules `soak` are faults in bulk. They take a few seconds; with `IDEM_SOAK=1` in the
//! environment there are 10,000 of each.

#![allow(
    clippy::disallowed_methods,
    reason = "a connection that a pool has just given out, or whose call has ended, has nothing queued"
)]
#![allow(
    clippy::duplicate_mod,
    reason = "the suite is compiled for each database"
)]
#![allow(
    clippy::unused_async,
    reason = "the suite awaits the same functions of each database"
)]

#[macro_use]
mod cases;
mod fate;
mod level;
mod mariadb;
mod model;
mod postgres;
mod sqlite;
mod stage;

use std::time::Duration;

/// Far above what a case takes on a busy machine: one that hangs fails under its own name.
const DEADLINE: Duration = Duration::from_secs(40);

/// The same for faults in bulk, in full.
const SOAK_DEADLINE: Duration = Duration::from_hours(1);

/// How often the database is asked whether something has come about, until the case's deadline.
/// Asking without a pause would take the processor from those who are to bring it about.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// Runs one case to its end.
fn run<F: Future<Output = ()>>(case: F) {
    run_within(DEADLINE, case);
}

fn run_within<F: Future<Output = ()>>(deadline: Duration, case: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ended = tokio::time::timeout(deadline, case).await;
        ended.expect("the case ends within its deadline");
    });
}

/// How many of a fault there are: all of them, or a share that takes a few seconds.
fn faults(all: usize, some: usize) -> usize {
    if std::env::var_os("IDEM_SOAK").is_some() {
        all
    } else {
        some
    }
}
