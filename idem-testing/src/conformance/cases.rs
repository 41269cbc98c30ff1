//! The cases, in the order in which they are played: what fails first explains most.

mod broken;
mod cancelled;
mod fields;
mod ordered;

use std::any::type_name;
use std::future::Future;
use std::time::Instant;

use tokio::time::timeout;

use super::failure::{Result, violated};
use super::report::ConformanceReport;
use super::stage::Stage;
use super::target::PublishTarget;
use crate::poll::catch_panic;

pub(super) async fn run<T: PublishTarget>(target: &T) -> ConformanceReport {
    let mut report = ConformanceReport::new("publisher", type_name::<T::Publisher>());
    for variant in fields::Variant::ALL {
        let case = fields::arrive_as_sent(target, variant);
        play(target, &mut report, variant.name(), case).await;
    }
    macro_rules! play {
        ($($name:literal $case:path)*) => {$(
            let case = async { $case(Stage::new(target).await).await };
            play(target, &mut report, $name, case).await;
        )*};
    }
    play! {
        "verdicts: each message of a batch has one" ordered::each_has_a_verdict
        "verdicts: an empty batch ends" ordered::an_empty_batch_ends
        "again: a message that comes again is confirmed again" ordered::again
        "order: within a batch and from batch to batch" ordered::in_order
        "calls at once: each confirms its own" ordered::calls_at_once
        "confirmed: has arrived if the call is dropped then" cancelled::at_a_verdict
        "cancelled: at any await" cancelled::at_any_await
        "down: nothing is confirmed or given up, and all arrive later" broken::down
        "hanging: one message delays no other key" broken::hanging
        "refused: one message stops no other key" broken::refused
        "load: a batch of 10,000" ordered::ten_thousand
    }
    report
}

/// Plays one case. Whatever it leaves broken is restored.
async fn play<T: PublishTarget>(
    target: &T,
    report: &mut ConformanceReport,
    name: &str,
    case: impl Future<Output = Result>,
) {
    let begun = Instant::now();
    let limit = target.time_limit();
    let end = match timeout(limit, catch_panic(case, || ())).await {
        Ok(Ok(end)) => end,
        Ok(Err(panic)) => violated(format!("a panic: {panic}")),
        Err(_) => violated(format!("it does not end within {limit:?}")),
    };
    target.restore().await;
    report.note(name, begun.elapsed(), end);
}
