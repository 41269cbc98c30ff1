//! What is in hand stays so, and is left in order.

use std::time::Duration;

use tokio::time::sleep;

use crate::conformance::failure::{Failure, Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::{Instance, Settings, backoff};
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

fn deadline<T: SourceTarget, DB: SourceDatabase>(bed: &Bed<'_, T, DB>) -> Result<Duration> {
    bed.target().capabilities().deadline.ok_or_else(|| {
        Failure::LeftOut("a delivery has no deadline: it is kept until its connection ends".into())
    })
}

/// Each was handed out once, and ran once.
fn came_once<T: SourceTarget, DB: SourceDatabase>(
    bed: &Bed<'_, T, DB>,
    instances: &[&Instance],
    messages: &[Sent],
) -> Result {
    for sent in messages {
        let received: usize = instances
            .iter()
            .map(|instance| instance.watch.received(&sent.id))
            .sum();
        if received != 1 {
            return violated(format!(
                "a message was handed out {received} times: the broker took it back while it was in hand"
            ));
        }
        if bed.script.attempts(sent.n).first() != Some(&1) {
            return violated("a message that nothing has failed of is not at its first attempt");
        }
    }
    Ok(())
}

/// Guards against leases that end in the client's buffer. Another instance is there to take them.
pub(super) async fn extended<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let deadline = deadline(&bed)?;
    let settings = Settings {
        concurrency: 1,
        ..Settings::default()
    };
    let slow = Sent::new(Some("slow"), Act::Wait);
    let waiting: Vec<Sent> = (0..5).map(|_| Sent::new(None, Act::Succeed)).collect();
    let first = bed.start(settings)?;
    bed.send([&slow]).await;
    bed.begin(&slow, 1).await?;
    bed.send(&waiting).await;
    for sent in &waiting {
        let taken = async {
            while first.watch.received(&sent.id) == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(bed.limit(), taken).await.is_err() {
            return violated("the consumer takes nothing while its handlers are busy");
        }
    }
    let second = bed.start(settings)?;
    sleep(deadline * 3).await;
    bed.script.let_go(slow.n);
    bed.succeed("all are handled", &waiting).await?;
    bed.drained().await?;
    let all: Vec<Sent> = waiting.into_iter().chain([slow]).collect();
    came_once(&bed, &[&first, &second], &all)?;
    bed.stop(first).await?;
    bed.stop(second).await?;
    bed.each_effect_is_single(&all).await
}

/// Guards against a wait in which the broker takes the consumer for dead.
pub(super) async fn back_off<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let deadline = deadline(&bed)?;
    let longest = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    let settings = Settings {
        retry: backoff(longest).attempts(12),
        hold: Duration::from_hours(1),
        ..Settings::default()
    };
    let sent = [Sent::new(Some("k"), Act::FailUntil(7))];
    let instance = bed.start(settings)?;
    bed.send(&sent).await;
    bed.succeed("it is handled in the end", &sent).await?;
    bed.drained().await?;
    came_once(&bed, &[&instance], &sent)?;
    bed.stop(instance).await?;
    bed.no_letters().await?;
    bed.each_effect_is_single(&sent).await
}

pub(super) async fn shutdown<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let settings = Settings {
        concurrency: 2,
        ..Settings::default()
    };
    let running = Sent::new(Some("running"), Act::Wait);
    let mut all: Vec<Sent> = (0..40)
        .map(|place| Sent::new(Some(["a", "b"][place % 2]), Act::Succeed))
        .collect();
    bed.send([&running].into_iter().chain(&all)).await;
    let first = bed.start(settings)?;
    bed.begin(&running, 1).await?;
    let n = running.n;
    // It ends only once what runs has ended, and that is acknowledged.
    let let_go = async {
        sleep(Duration::from_millis(100)).await;
        bed.script.let_go(n);
    };
    let ((), stopped) = tokio::join!(let_go, bed.stop(first));
    stopped?;
    if !bed.script.seen().succeeded.contains(&n) {
        return violated("what ran at the shutdown was interrupted before its time");
    }
    let second = bed.start(settings)?;
    bed.succeed("the rest is handled by another instance", &all)
        .await?;
    bed.drained().await?;
    if second.watch.received(&running.id) > 0 {
        return violated("what ended before the shutdown did came again");
    }
    bed.stop(second).await?;
    bed.no_letters().await?;
    all.push(running);
    bed.each_effect_is_single(&all).await
}

/// Guards against partitions that are given away with work in flight, and against an offset that
/// goes back.
pub(super) async fn rebalance<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    bed.target().capabilities().rebalance?;
    let keys: Vec<String> = (0..8).map(|key| format!("k{key}")).collect();
    let messages: Vec<Sent> = (0..80)
        .map(|place: usize| Sent::new(Some(&keys[place % keys.len()]), Act::Succeed))
        .collect();
    let (early, late) = messages.split_at(40);
    let running = Sent::new(Some("running"), Act::Wait);
    let first = bed.start(Settings::default())?;
    bed.send([&running].into_iter().chain(early)).await;
    bed.begin(&running, 1).await?;
    let second = bed.start(Settings::default())?;
    bed.send(late).await;
    sleep(Duration::from_millis(200)).await;
    bed.script.let_go(running.n);
    bed.succeed("all are handled while an instance joins", &messages)
        .await?;
    bed.stop(first).await?;
    bed.drained().await?;
    bed.stop(second).await?;
    bed.no_letters().await?;
    for key in 0..keys.len() {
        let of: Vec<Sent> = messages
            .iter()
            .skip(key)
            .step_by(keys.len())
            .cloned()
            .collect();
        bed.in_order(&of)?;
    }
    bed.each_effect_is_single(&messages).await
}
