//! The broker ends in the middle, or every connection to it does.

use crate::conformance::failure::Result;
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::Settings;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

pub(super) async fn in_the_middle<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let keys = ["a", "b", "c"];
    let running = Sent::new(Some("running"), Act::Wait);
    let all: Vec<Sent> = (0..60)
        .map(|place| Sent::new(Some(keys[place % keys.len()]), Act::Succeed))
        .collect();
    let (early, late) = all.split_at(40);
    let instance = bed.start(Settings::default())?;
    bed.send([&running].into_iter().chain(early)).await;
    bed.begin(&running, 1).await?;
    bed.succeed("some are handled", &early[..10]).await?;
    if bed.target().capabilities().restart.is_ok() {
        bed.target().restart().await;
    } else {
        bed.target().cut_connections().await?;
    }
    // Its ack has no connection any more.
    bed.script.let_go(running.n);
    bed.send(late).await;
    bed.succeed("all are handled in the end", &all).await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    bed.no_letters().await?;
    let all: Vec<Sent> = all.into_iter().chain([running]).collect();
    bed.each_effect_is_single(&all).await
}
