//! Acknowledged after COMMIT, and not before.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::Settings;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

pub(super) async fn acknowledged_after<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let sent = [Sent::new(Some("k"), Act::Wait)];
    let instance = bed.start(Settings::default())?;
    bed.send(&sent).await;
    bed.begin(&sent[0], 1).await?;
    // For some time, since an early ack may be on its way.
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        let kept = bed.target().kept(&bed.queue).await;
        if kept.total() != 1 {
            return violated(format!(
                "while its handler runs the broker keeps {kept:?}, and not the one message"
            ));
        }
        sleep(Duration::from_millis(50)).await;
    }
    bed.script.let_go(sent[0].n);
    bed.drained().await?;
    bed.stop(instance).await?;
    bed.each_effect_is_single(&sent).await
}

/// The process ends between COMMIT and the ack.
pub(super) async fn lost_ack<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let sent = [Sent::new(Some("k"), Act::Succeed)];
    let first = bed.start(Settings::default())?;
    first.watch.hold_acks();
    bed.send(&sent).await;
    if timeout(bed.limit(), first.watch.ack_begun()).await.is_err() {
        return violated("nothing is acknowledged");
    }
    bed.each_effect_is_single(&sent).await?;
    first.kill();
    let second = bed.start(Settings::default())?;
    // A broker may say that it keeps nothing while it takes back what the first one had.
    let end = Instant::now() + bed.limit();
    while second.watch.received(&sent[0].id) == 0 {
        if Instant::now() >= end {
            return violated("it did not come again");
        }
        sleep(Duration::from_millis(10)).await;
    }
    bed.drained().await?;
    let times = second.watch.received(&sent[0].id);
    if times != 1 {
        return violated(format!("it came again {times} times"));
    }
    bed.stop(second).await?;
    if bed.script.succeeded(sent[0].n) != 1 {
        return violated("the handler ran again although its effect was committed");
    }
    bed.no_letters().await?;
    bed.each_effect_is_single(&sent).await
}
