//! What follows from each way to settle a delivery, without a consumer.

use std::time::Duration;

use idem_runtime::{Delivery, Source};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::conformance::failure::{Failure, Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::SourceTarget;

fn confirmed<E: std::fmt::Display>(what: &str, settled: std::result::Result<(), E>) -> Result {
    settled.or_else(|error| violated(format!("{what} fails: {error}")))
}

pub(super) async fn once<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let [acked, rejected, last] = [(); 3].map(|()| Sent::new(None, Act::Succeed));
    bed.send([&acked, &rejected]).await;
    {
        let source = bed.target().source(&bed.queue).await;
        let mut left = vec![acked.id.clone(), rejected.id.clone()];
        while !left.is_empty() {
            let delivery = bed.receive(&source).await?;
            let id = delivery.incoming().id.clone();
            left.retain(|other| *other != id);
            if id == acked.id {
                confirmed("an ack", delivery.ack().await)?;
            } else {
                confirmed("a rejection", delivery.reject("it is refused").await)?;
            }
        }
        source.stop();
    }
    bed.drained().await?;
    // Another source finds what comes afterwards, and nothing of those.
    let source = bed.target().source(&bed.queue).await;
    bed.send([&last]).await;
    let delivery = bed.receive_this(&source, &last).await?;
    confirmed("an ack", delivery.ack().await)
}

pub(super) async fn given_back<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let sent = Sent::new(None, Act::Succeed);
    let source = bed.target().source(&bed.queue).await;
    bed.send([&sent]).await;
    let delivery = bed.receive_this(&source, &sent).await?;
    if delivery.incoming().redelivered {
        return violated("a first delivery says that it was handed out before");
    }
    confirmed("giving back", delivery.give_back(Duration::ZERO).await)?;
    let delivery = bed.receive_this(&source, &sent).await?;
    if !delivery.incoming().redelivered {
        return violated(
            "a message that was given back does not say that it was handed out before",
        );
    }
    confirmed("an ack", delivery.ack().await)?;
    bed.drained().await
}

pub(super) async fn delayed<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    const DELAY: Duration = Duration::from_millis(700);
    bed.target().capabilities().delayed?;
    let sent = Sent::new(None, Act::Succeed);
    let source = bed.target().source(&bed.queue).await;
    bed.send([&sent]).await;
    let delivery = bed.receive_this(&source, &sent).await?;
    let begun = Instant::now();
    confirmed("giving back", delivery.give_back(DELAY).await)?;
    let delivery = bed.receive_this(&source, &sent).await?;
    if begun.elapsed() < DELAY {
        return violated(format!(
            "it comes again after {:?}, and was given back for {DELAY:?}",
            begun.elapsed()
        ));
    }
    confirmed("an ack", delivery.ack().await)
}

pub(super) async fn counts<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    bed.target().capabilities().counts?;
    let sent = Sent::new(None, Act::Succeed);
    let source = bed.target().source(&bed.queue).await;
    bed.send([&sent]).await;
    for expected in 1..=3 {
        let delivery = bed.receive_this(&source, &sent).await?;
        let count = delivery.incoming().count;
        if count != Some(expected) {
            return violated(format!("delivery {expected} says that it is {count:?}"));
        }
        if expected < 3 {
            confirmed("giving back", delivery.give_back(Duration::ZERO).await)?;
        } else {
            confirmed("an ack", delivery.ack().await)?;
        }
    }
    bed.drained().await
}

pub(super) async fn stop<T: SourceTarget, DB: SourceDatabase>(bed: Bed<'_, T, DB>) -> Result {
    let messages: Vec<_> = (0..10).map(|_| Sent::new(None, Act::Succeed)).collect();
    bed.send(&messages).await;
    let source = bed.target().source(&bed.queue).await;
    let first = bed.receive(&source).await?;
    source.stop();
    source.stop();
    let mut taken = 1;
    let rest = async {
        while let Some(arrival) = source.receive().await {
            // For a source that goes on for ever without a wait.
            yield_now().await;
            match arrival {
                Ok(idem_runtime::Arrival::Delivery(delivery)) => {
                    taken += 1;
                    let given_back = delivery.give_back(Duration::ZERO).await;
                    confirmed("giving back after the stop", given_back)?;
                }
                Ok(_) => {}
                Err(error) => return violated(format!("after the stop: {error}")),
            }
        }
        Ok(())
    };
    match timeout(bed.limit(), rest).await {
        Ok(end) => end?,
        Err(_) => return violated("after the stop the source does not end"),
    }
    confirmed("an ack after the stop", first.ack().await)?;
    drop(source);
    // Nothing is lost, whether it was taken or not.
    let source = bed.target().source(&bed.queue).await;
    for place in 1..messages.len() {
        let delivery = bed.receive(&source).await.map_err(|failure| match failure {
            Failure::Violated(why) => Failure::Violated(format!(
                "of {} messages {taken} were taken before the stop, and of the rest only {} come again: {why}",
                messages.len(),
                place - 1
            )),
            other @ Failure::LeftOut(_) => other,
        })?;
        confirmed("an ack", delivery.ack().await)?;
    }
    bed.drained().await
}

pub(super) async fn after_a_cut<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let sent = Sent::new(None, Act::Succeed);
    let source = bed.target().source(&bed.queue).await;
    bed.send([&sent]).await;
    let delivery = bed.receive_this(&source, &sent).await?;
    bed.target().cut_connections().await?;
    // It is the new connection on which it comes again.
    let again = bed.receive_this(&source, &sent).await?;
    if !again.incoming().redelivered {
        return violated("a message that comes again after a cut does not say so");
    }
    if delivery.ack().await.is_ok() {
        return violated("an ack of a delivery whose connection was cut is confirmed");
    }
    confirmed("an ack on the new connection", again.ack().await)?;
    bed.drained().await
}
