//! An outage of the database makes no dead letters.

use std::time::Duration;

use tokio::time::sleep;

use crate::conformance::failure::{Failure, Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::gate::Gate;
use crate::conformance::source::instance::{Settings, backoff};
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

pub(super) async fn of_the_database<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let Some(server) = DB::server(&bed.shared.options) else {
        return Err(Failure::LeftOut(
            "the database is a file or behind a socket, and can't be cut off".into(),
        ));
    };
    let gate = match Gate::before(server).await {
        Ok(gate) => gate,
        Err(error) => return violated(format!("no proxy for the database: {error}")),
    };
    // Used up within a small part of the outage, if it counted.
    let settings = Settings {
        retry: backoff(50).attempts(3),
        ..Settings::default()
    };
    let long = Duration::from_secs(if bed.shared.is_long { 20 } else { 3 });
    let options = DB::through(bed.shared.options.clone(), gate.address());
    let instance = bed.start_through(options, settings)?;
    let running = Sent::new(Some("running"), Act::Wait);
    let all: Vec<Sent> = (0..30)
        .map(|place| Sent::new(Some(["a", "b", "c"][place % 3]), Act::Succeed))
        .collect();
    let (early, late) = all.split_at(10);
    bed.send([&running].into_iter().chain(early)).await;
    bed.begin(&running, 1).await?;
    bed.succeed("it works before the outage", early).await?;
    gate.shut(true);
    bed.script.let_go(running.n);
    bed.send(late).await;
    sleep(long).await;
    gate.shut(false);
    let all: Vec<Sent> = all.into_iter().chain([running]).collect();
    bed.succeed("all are handled after the outage", &all)
        .await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    bed.no_letters().await?;
    bed.each_effect_is_single(&all).await
}
