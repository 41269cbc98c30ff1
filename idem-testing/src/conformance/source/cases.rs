//! The cases, in the order in which they are played: what fails first explains most.

mod attempts;
mod breaks;
mod commit;
mod dead_letters;
mod fields;
mod leaving;
mod order;
mod outage;
mod pressure;
mod settling;

use std::any::type_name;
use std::future::Future;
use std::time::Instant;

use tokio::time::timeout;

use super::bed::{Bed, Shared};
use super::database::SourceDatabase;
use super::target::SourceTarget;
use crate::conformance::failure::{Result, violated};
use crate::conformance::report::ConformanceReport;
use crate::poll::catch_panic;

pub(super) async fn run<T: SourceTarget, DB: SourceDatabase>(
    shared: &Shared<T, DB>,
    is_wanted: impl Fn(&str) -> bool,
) -> ConformanceReport {
    let mut report = ConformanceReport::new("source", type_name::<T::Source>());
    macro_rules! play {
        ($($name:literal $case:path)*) => {$(
            if is_wanted($name) {
                let case = async { $case(Bed::new(shared, $name).await).await };
                play(shared, &mut report, $name, case).await;
            }
        )*};
    }
    play! {
        "fields: each arrives as it was sent" fields::arrive_as_sent
        "settled: what is acknowledged or rejected never comes again" settling::once
        "given back: comes again, and says so" settling::given_back
        "delayed: what is given back does not come before its time" settling::delayed
        "counts: how often it was handed out" settling::counts
        "stop: what was taken comes, and then the end" settling::stop
        "cut: a settlement through a cut connection is no success" settling::after_a_cut
        "commit: acknowledged only after it" commit::acknowledged_after
        "lost ack: comes again, and is a duplicate" commit::lost_ack
        "panic: a failed attempt of that delivery alone" dead_letters::panic
        "poison: becomes a dead letter while its neighbours go on" dead_letters::poison
        "unreadable: a dead letter at once, with its bytes" dead_letters::unreadable
        "attempts: counted over two instances and a restart" attempts::over_instances
        "killer: a message that kills the process becomes a dead letter" attempts::killer
        "order: of each key, side by side, with failures" order::per_key
        "ordered: of each key, over two instances" order::over_instances
        "stuck: a key that fails for long stops no other" order::stuck
        "parked: goes on in order after a restart" order::parked
        "deadline: extended while a handler runs and while others wait" leaving::extended
        "back-off: longer than the deadline" leaving::back_off
        "shutdown: in the middle" leaving::shutdown
        "rebalance: with work in hand" leaving::rebalance
        "broker: restarted or cut off in the middle" breaks::in_the_middle
        "outage: of the database, without a dead letter" outage::of_the_database
        "memory: a slow consumer of large messages" pressure::memory
        "load: many messages" pressure::load
    }
    report
}

/// Plays one case.
async fn play<T: SourceTarget, DB: SourceDatabase>(
    shared: &Shared<T, DB>,
    report: &mut ConformanceReport,
    name: &str,
    case: impl Future<Output = Result>,
) {
    let begun = Instant::now();
    let limit = shared.target.time_limit() * if shared.is_long { 30 } else { 1 };
    let end = match timeout(limit, catch_panic(case, || ())).await {
        Ok(Ok(end)) => end,
        Ok(Err(panic)) => violated(format!("a panic: {panic}")),
        Err(_) => violated(format!("it does not end within {limit:?}")),
    };
    report.note(name, begun.elapsed(), end);
}
