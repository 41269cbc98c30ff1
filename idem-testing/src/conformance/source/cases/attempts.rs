//! Attempts are counted in the database.

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::instance::{Settings, backoff};
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

/// Guards against attempts that are multiplied by instances and by what the broker gives again.
pub(super) async fn over_instances<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let settings = Settings {
        retry: backoff(20).attempts(5),
        ..Settings::default()
    };
    let bad = Sent::new(Some("bad"), Act::FailAndWaitAt(3));
    let first = bed.start(settings)?;
    bed.send([&bad]).await;
    bed.begin(&bad, 3).await?;
    let other = bed.start(settings)?;
    first.kill();
    bed.script.let_go(bad.n);
    let letters = bed.letters_come(1).await?;
    bed.drained().await?;
    bed.stop(other).await?;
    let attempts = bed.script.attempts(bad.n);
    // The third was interrupted before it failed, so it may be made again.
    if attempts != [1, 2, 3, 3, 4, 5] && attempts != [1, 2, 3, 4, 5] {
        return violated(format!("of five attempts these were made: {attempts:?}"));
    }
    if letters[0].attempts != 5 {
        let counted = letters[0].attempts;
        return violated(format!("the dead letter says {counted} attempts and not 5"));
    }
    Ok(())
}

pub(super) async fn killer<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    const ATTEMPTS: u32 = 2;
    let settings = Settings {
        retry: backoff(20).attempts(ATTEMPTS),
        ..Settings::default()
    };
    let killer = Sent::new(Some("killer"), Act::Hang);
    let others = ["a", "b"].map(|key| Sent::new(Some(key), Act::Succeed));
    bed.send([&killer].into_iter().chain(&others)).await;
    // What runs beside a killer has begun each time, too: so they are done before it kills.
    let mut instance = bed.start(settings)?;
    bed.begin(&killer, 1).await?;
    bed.succeed("its neighbours are handled", &others).await?;
    bed.kept_are(1).await?;
    // The first run is not known to be one until the message comes again.
    for life in 2..=ATTEMPTS + 2 {
        instance.kill();
        instance = bed.start(settings)?;
        tokio::select! {
            begun = bed.begin(&killer, life as usize) => begun?,
            letters = bed.letters_come(1) => {
                letters?;
                break;
            }
        }
    }
    bed.letters_come(1).await?;
    bed.drained().await?;
    bed.stop(instance).await?;
    let begun = bed.script.begun(killer.n);
    if begun > ATTEMPTS as usize + 1 {
        return violated(format!(
            "it killed {begun} processes, and has {ATTEMPTS} attempts"
        ));
    }
    bed.each_effect_is_single(&others).await
}
