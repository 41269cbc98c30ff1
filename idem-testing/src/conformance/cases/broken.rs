//! A broker that is down, hangs, or refuses a message.

use std::future::pending;
use std::pin::pin;

use futures_util::future::select;
use idem_runtime::{PublishBatch, Publisher};
use tokio::time::timeout;

use crate::conformance::failure::{Result, violated};
use crate::conformance::stage::{Stage, Verdict, check_reasons};
use crate::conformance::target::{BrokerFault, PublishTarget};

pub(super) async fn down<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    // With a connection that breaks, not only one that can't be made.
    let before = stage.messages(&[Some("a"), None]);
    stage.publish_all(&before).await?;
    stage.target.inject(BrokerFault::Down).await?;
    let keys = [Some("a"), Some("b"), Some("a"), None, Some("a"), Some("b")];
    let messages = stage.messages(&keys);
    let mut verdicts = Vec::new();
    // The second call finds what the first one left.
    for _ in 0..2 {
        verdicts = stage.publish(&messages).await?;
        for (number, verdict) in verdicts.iter().enumerate() {
            match verdict {
                Some(Ok(())) => {
                    return violated(format!(
                        "message {number} is confirmed by a broker that is down"
                    ));
                }
                Some(Err(error)) if error.is_permanent() => {
                    return violated(format!(
                        "message {number} is given up since the broker is down: {error}"
                    ));
                }
                _ => {}
            }
        }
    }
    stage.target.restore().await;
    stage.publish_until_confirmed(&messages, &verdicts).await?;
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}

pub(super) async fn hanging<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys = [
        Some("slow"),
        Some("slow"),
        Some("b"),
        None,
        Some("b"),
        Some("c"),
    ];
    let messages = stage.messages(&keys);
    stage
        .target
        .inject(BrokerFault::Hang(messages[0].id))
        .await?;
    // Far more than they need: 10 s of two minutes.
    let limit = stage.target.time_limit() / 12;
    let mut ends: Vec<Verdict> = vec![None; messages.len()];
    let (batch, mut verdicts) = PublishBatch::new(messages.clone());
    {
        let call = pin!(stage.publisher.publish(batch));
        let others = async {
            while ends[2..].contains(&None) {
                let Some((index, verdict)) = verdicts.next().await else {
                    return;
                };
                ends[index] = Some(verdict);
            }
        };
        let others = pin!(timeout(limit, others));
        let call = async {
            call.await;
            // Its verdicts may not have been looked at.
            pending::<()>().await;
        };
        select(others, pin!(call)).await;
    }
    check_reasons(&ends)?;
    if ends[0] == Some(Ok(())) {
        return violated("a message that got no answer is confirmed");
    }
    for (number, end) in ends.iter().enumerate().skip(2) {
        if *end != Some(Ok(())) {
            let end = end
                .as_ref()
                .map_or("no verdict".to_owned(), |end| format!("{end:?}"));
            return violated(format!(
                "message {number} has {end} after {limit:?} since a message of another key hangs"
            ));
        }
    }
    stage.target.restore().await;
    stage.publish_until_confirmed(&messages, &ends).await?;
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}

pub(super) async fn refused<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys = [Some("a"), Some("a"), Some("b"), None, Some("b")];
    let messages = stage.messages(&keys);
    stage
        .target
        .inject(BrokerFault::Refuse(messages[0].id))
        .await?;
    let verdicts = stage.publish(&messages).await?;
    let permanent = match &verdicts[0] {
        Some(Ok(())) => return violated("a message that was refused is confirmed"),
        Some(Err(error)) => error.is_permanent(),
        None => false,
    };
    if !permanent && verdicts[1] == Some(Ok(())) {
        return violated("a message is confirmed although one of its key before it comes again");
    }
    for (number, verdict) in verdicts.iter().enumerate().skip(2) {
        if *verdict != Some(Ok(())) {
            return violated(format!(
                "message {number} has {verdict:?} since a message of another key was refused"
            ));
        }
    }
    stage.target.restore().await;
    if permanent {
        // A dead letter. It comes again when somebody replays it, and then late.
        stage
            .publish_until_confirmed(&messages[1..], &verdicts[1..])
            .await?;
        return stage.arrive(&messages[1..]).await;
    }
    stage.publish_until_confirmed(&messages, &verdicts).await?;
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}
