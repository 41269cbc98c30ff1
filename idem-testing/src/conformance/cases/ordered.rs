//! A broker that works: every message has its verdict, and each key its order.

use futures_util::future::join_all;

use crate::conformance::failure::Result;
use crate::conformance::stage::Stage;
use crate::conformance::target::PublishTarget;

/// Three keys and messages without one, mixed.
const MIXED: [Option<&str>; 7] = [
    Some("a"),
    None,
    Some("b"),
    Some("a"),
    Some("c"),
    None,
    Some("b"),
];

pub(super) async fn each_has_a_verdict<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys: Vec<_> = MIXED.into_iter().cycle().take(100).collect();
    let messages = stage.messages(&keys);
    stage.publish_all(&messages).await?;
    stage.arrive(&messages).await
}

pub(super) async fn an_empty_batch_ends<T: PublishTarget>(stage: Stage<'_, T>) -> Result {
    stage.publish_all(&[]).await
}

/// A relay that crashed before it noted a verdict publishes again.
pub(super) async fn again<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let messages = stage.messages(&MIXED);
    stage.publish_all(&messages).await?;
    stage.publish_all(&messages).await?;
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}

pub(super) async fn in_order<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let keys: Vec<_> = MIXED.into_iter().cycle().take(350).collect();
    let messages = stage.messages(&keys);
    for batch in messages.chunks(70) {
        stage.publish_all(batch).await?;
    }
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}

/// A relay makes several calls at once, each with keys of its own.
pub(super) async fn calls_at_once<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let names: Vec<String> = (0..8).map(|call| format!("call-{call}")).collect();
    let batches: Vec<_> = names
        .iter()
        .map(|name| stage.messages(&[Some(name.as_str()); 25]))
        .collect();
    let calls = batches.iter().map(|batch| stage.publish_all(batch));
    for end in join_all(calls).await {
        end?;
    }
    let messages = batches.concat();
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}

pub(super) async fn ten_thousand<T: PublishTarget>(mut stage: Stage<'_, T>) -> Result {
    let names: Vec<String> = (0..100).map(|key| format!("key-{key}")).collect();
    // Every eleventh has no key.
    let keys: Vec<_> = (0..10_000)
        .map(|n| (n % 11 != 0).then(|| names[n % 100].as_str()))
        .collect();
    let messages = stage.messages(&keys);
    let limit = stage.target.time_limit();
    stage.publish_all_within(limit, &messages).await?;
    stage.arrive(&messages).await?;
    stage.arrived_in_order(&messages)
}
