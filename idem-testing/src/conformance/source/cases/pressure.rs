//! Backpressure, and many messages.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::Settings;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

const LARGE: usize = 1024 * 1024;

/// The broker is asked what it has handed out, and the consumer what it has in memory.
pub(super) async fn memory<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    const IN_HAND: usize = 4;
    let prefetch = bed.target().capabilities().prefetch;
    let count = prefetch + IN_HAND + if bed.shared.is_long { 1_000 } else { 4 };
    let settings = Settings {
        concurrency: 1,
        in_hand: IN_HAND,
        ..Settings::default()
    };
    let slow = Sent::new(Some("slow"), Act::Wait);
    let mut all = vec![slow.clone()];
    bed.send([&slow]).await;
    // One after the other, so that the suite needs little memory, too.
    for place in 1..count {
        // In a gate only those are large that are in memory together.
        let is_large = bed.shared.is_long || place <= 2 * IN_HAND;
        let bytes = if is_large { LARGE } else { 0 };
        let mut sent = Sent::padded(None, Act::Succeed, bytes);
        bed.send([&sent]).await;
        sent.wire.body = Vec::new();
        all.push(sent);
    }
    let instance = bed.start(settings)?;
    bed.begin(&slow, 1).await?;
    // For some time, since what is taken too early may be on its way.
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        let kept = bed.target().kept(&bed.queue).await;
        if kept.handed_out > prefetch + IN_HAND {
            return violated(format!(
                "a consumer that is slow was handed out {} messages; it has {IN_HAND} in hand, and the source may take {prefetch}",
                kept.handed_out
            ));
        }
        sleep(Duration::from_millis(50)).await;
    }
    bed.script.let_go(slow.n);
    bed.succeed("all are handled", &all).await?;
    bed.drained().await?;
    let most = instance.watch.most_bytes();
    if most > (IN_HAND + 2) * (LARGE + 1024) {
        return violated(format!(
            "the consumer had {most} bytes in memory, of at most {IN_HAND} messages of 1 MiB"
        ));
    }
    bed.stop(instance).await?;
    bed.each_effect_is_single(&all).await
}

pub(super) async fn load<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let count = if bed.shared.is_long { 100_000 } else { 1_000 };
    let keys: Vec<String> = (0..50).map(|key| format!("k{key}")).collect();
    let all: Vec<Sent> = (0..count)
        .map(|place: usize| Sent::new(Some(&keys[place % keys.len()]), Act::Succeed))
        .collect();
    let instance = bed.start(Settings::default())?;
    for batch in all.chunks(1_000) {
        bed.send(batch).await;
    }
    let limit = bed.limit() * if bed.shared.is_long { 20 } else { 1 };
    let what = format!("{count} messages are handled");
    bed.script
        .until(limit, &what, |seen| seen.succeeded.len() >= count)
        .await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    bed.no_letters().await?;
    bed.each_effect_is_single(&all).await
}
