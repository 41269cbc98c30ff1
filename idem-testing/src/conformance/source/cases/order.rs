//! In order per ordering key, and no key waits for another.

use std::time::Duration;

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::{Settings, backoff};
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Some fail once.
fn messages(count: usize) -> Vec<(&'static str, Sent)> {
    let act = |place: usize| match place % 7 {
        3 => Act::FailUntil(2),
        _ => Act::Succeed,
    };
    let message = |place: usize| {
        let key = KEYS[place % KEYS.len()];
        (key, Sent::new(Some(key), act(place)))
    };
    (0..count).map(message).collect()
}

fn in_order<T: SourceTarget, DB: SourceDatabase>(
    bed: &Bed<'_, T, DB>,
    messages: &[(&str, Sent)],
) -> Result {
    for key in KEYS {
        let of = messages.iter().filter(|(other, _)| *other == key);
        let of: Vec<Sent> = of.map(|(_, sent)| sent.clone()).collect();
        bed.in_order(&of)?;
    }
    Ok(())
}

pub(super) async fn per_key<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let messages = messages(60);
    let all: Vec<Sent> = messages.iter().map(|(_, sent)| sent.clone()).collect();
    let instance = bed.start(Settings::default())?;
    bed.send(&all).await;
    bed.succeed("all are handled", &all).await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    bed.no_letters().await?;
    in_order(&bed, &messages)?;
    bed.each_effect_is_single(&all).await
}

pub(super) async fn over_instances<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    bed.target().capabilities().ordered?;
    let messages = messages(60);
    let all: Vec<Sent> = messages.iter().map(|(_, sent)| sent.clone()).collect();
    let instances = [
        bed.start(Settings::default())?,
        bed.start(Settings::default())?,
    ];
    bed.send(&all).await;
    bed.succeed("all are handled", &all).await?;
    bed.drained().await?;
    for instance in instances {
        bed.stop(instance).await?;
    }
    in_order(&bed, &messages)?;
    bed.each_effect_is_single(&all).await
}

/// Guards against one key that fills what the source may take.
pub(super) async fn stuck<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let settings = Settings {
        retry: backoff(3_600_000).attempts(8),
        hold: Duration::ZERO,
        in_hand: 40,
        ..Settings::default()
    };
    let stuck: Vec<Sent> = (0..100)
        .map(|_| Sent::new(Some("stuck"), Act::FailUntil(2)))
        .collect();
    let others = [Some("a"), None, Some("b")].map(|key| Sent::new(key, Act::Succeed));
    bed.send(stuck.iter().chain(&others)).await;
    let instance = bed.start(settings)?;
    bed.succeed("other keys go on", &others).await?;
    bed.stop(instance).await?;
    if bed.script.begun(stuck[1].n) > 0 {
        return violated("what came after a failed message of its key ran before it");
    }
    bed.no_letters().await
}

pub(super) async fn parked<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let settings = Settings {
        retry: backoff(200).attempts(8),
        hold: Duration::ZERO,
        ..Settings::default()
    };
    let acts = [Act::FailUntil(3), Act::Succeed, Act::Succeed];
    let sent = acts.map(|act| Sent::new(Some("k"), act));
    let first = bed.start(settings)?;
    bed.send(&sent).await;
    bed.begin(&sent[0], 1).await?;
    // It is in the database, so the broker has nothing more.
    bed.drained().await?;
    first.kill();
    let second = bed.start(settings)?;
    bed.succeed("what was parked is handled", &sent).await?;
    bed.stop(second).await?;
    bed.no_letters().await?;
    bed.in_order(&sent)?;
    bed.each_effect_is_single(&sent).await
}
