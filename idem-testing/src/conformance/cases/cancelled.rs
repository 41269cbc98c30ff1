//! Calls that a relay drops.

use std::pin::pin;

use futures_util::future::{Either, select};
use idem_runtime::{PublishBatch, Publisher};

use crate::conformance::failure::{Result, violated};
use crate::conformance::stage::Stage;
use crate::conformance::target::PublishTarget;
use crate::poll::drop_at_pending;

/// A call of a few messages over a network is pending some dozen times.
const POINTS: usize = 64;

/// A verdict counts as soon as it is there. So must the message.
pub(super) async fn at_a_verdict<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys = [Some("a"), Some("b"), None, Some("a"), Some("c"), None];
    let messages = stage.messages(&keys);
    let (batch, mut verdicts) = PublishBatch::new(messages.clone());
    let first = {
        let call = pin!(stage.publisher.publish(batch));
        let next = pin!(verdicts.next());
        match select(next, call).await {
            Either::Left((first, _)) => first,
            Either::Right(((), next)) => next.await,
        }
    };
    let mut confirmed = Vec::new();
    let mut verdict = first;
    while let Some((index, end)) = verdict {
        if let Err(error) = end {
            return violated(format!("message {index} failed: {error}"));
        }
        confirmed.push(messages[index].clone());
        verdict = verdicts.next().await;
    }
    if confirmed.is_empty() {
        return violated("the call ended without a verdict");
    }
    stage.arrive(&confirmed).await
}

/// Guards what a dropped call may leave behind: a connection in the middle of a request, a lock, an
/// answer that the next call takes for its own.
pub(super) async fn at_any_await<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys = [Some("a"), Some("b"), None, Some("a"), Some("b"), Some("a")];
    for point in 0..POINTS {
        let messages = stage.messages(&keys);
        let (batch, mut verdicts) = PublishBatch::new(messages.clone());
        let ended = drop_at_pending(point, stage.publisher.publish(batch)).await;
        let mut confirmed = Vec::new();
        while let Some((index, verdict)) = verdicts.next().await {
            match verdict {
                Ok(()) => confirmed.push(messages[index].clone()),
                Err(error) => {
                    return violated(format!(
                        "message {index} of a call that was dropped at its await {point} failed: {error}"
                    ));
                }
            }
        }
        // The next call of this publisher.
        stage.publish_all(&messages).await?;
        stage.arrive(&confirmed).await?;
        stage.arrive(&messages).await?;
        stage.arrived_in_order(&messages)?;
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}
