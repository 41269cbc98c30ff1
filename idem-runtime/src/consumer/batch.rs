//! Many deliveries of one handler in one transaction; and in ever fewer, until what fails is alone.

use std::future::Future;
use std::iter;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use sqlx::Pool;

use super::failure::{Blame, Cause, Failure};
use super::route::{Ended, Route};
use crate::disposition::Disposition;
use crate::execution::conflicts;
use crate::handler::BatchFailure;
use crate::message::Received;
use crate::store::Store;

/// What the runs of one batch have in common.
pub(super) struct Batch<DB: Store, R: Route<DB>> {
    pub(super) pool: Pool<DB>,
    pub(super) context: Arc<R::Context>,
    pub(super) is_alone: Arc<AtomicBool>,
}

/// Places of the batch that are tried together, in their order.
type Places = Vec<usize>;

/// What follows a run of some places.
enum Next {
    Ended,
    /// Some of them are tried again: these, and then those.
    Again(Places, Places),
}

impl<DB: Store, R: Route<DB>> Batch<DB, R>
where
    R::Error: Failure,
{
    /// Handles what could be decoded. How each delivery ended.
    pub(super) async fn run(
        self,
        received: Vec<Result<Received<R::Message>, Ended>>,
    ) -> Vec<Ended> {
        let mut ended = Vec::with_capacity(received.len());
        let mut messages = Vec::with_capacity(received.len());
        for received in received {
            let (message, end) = match received {
                Ok(message) => (Some(message), None),
                Err(end) => (None, Some(end)),
            };
            messages.push(message);
            ended.push(end);
        }
        let all: Places = (0..messages.len())
            .filter(|place| messages[*place].is_some())
            .collect();
        let mut to_try = vec![all];
        while let Some(places) = to_try.pop() {
            let of = |place: &usize| messages[*place].as_ref();
            let next = match places.as_slice() {
                [] => Next::Ended,
                [place] => {
                    if let Some(message) = of(place) {
                        ended[*place] = Some(self.run_alone(message).await);
                    }
                    Next::Ended
                }
                _ => {
                    let messages: Vec<_> = places.iter().filter_map(of).collect();
                    self.run_together(&places, &messages, &mut ended).await
                }
            };
            if let Next::Again(first, then) = next {
                to_try.push(then);
                to_try.push(first);
            }
        }
        let ended = ended.into_iter();
        ended
            .map(|end| end.expect("each place is tried until it has ended"))
            .collect()
    }

    async fn run_alone(&self, message: &Received<R::Message>) -> Ended {
        match caught(R::deliver(&self.pool, message, &self.context)).await {
            None => Ended::Panicked,
            Some((Ok(()), _)) => Ended::Done,
            Some((Err(error), lost)) => Ended::of(error.judge::<DB>(), lost),
        }
    }

    async fn run_together(
        &self,
        places: &[usize],
        messages: &[&Received<R::Message>],
        ended: &mut [Option<Ended>],
    ) -> Next {
        let delivered = caught(R::deliver_batch(&self.pool, messages, &self.context)).await;
        let (failure, lost) = match delivered {
            Some((Ok(entries), _)) => {
                for (place, entry) in places.iter().zip(entries) {
                    ended[*place] = Some(match entry {
                        Ok(()) => Ended::Done,
                        // What is known of a duplicate is no attempt that was lost to another.
                        Err(error) => Ended::of(error.judge::<DB>(), false),
                    });
                }
                return Next::Ended;
            }
            Some((Err(failure), lost)) => (failure, lost),
            None if R::BATCH => return halves(places),
            None => {
                all_alone(places, &Cause::Handler, ended);
                return Next::Ended;
            }
        };
        if let Some(member) = failure.member {
            // Those before it were handled and rolled back: nothing is wrong with them.
            let cause = failure.error.judge::<DB>().cause;
            ended[places[member]] = Some(Ended::Alone(cause));
            let (before, after) = places.split_at(member);
            return Next::Again(before.to_vec(), after[1..].to_vec());
        }
        self.all_failed(places, &failure, lost, ended)
    }

    /// The batch as a whole failed.
    fn all_failed(
        &self,
        places: &[usize],
        failure: &BatchFailure<R::Error>,
        lost: bool,
        ended: &mut [Option<Ended>],
    ) -> Next {
        let error = &failure.error;
        let judgement = error.judge::<DB>();
        match error.blame() {
            Blame::Settings => {
                if !self.is_alone.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        idem.scope = R::SCOPE,
                        "this handler changes the role or the search path of its transaction, which the next one of a batch would \
                         have found: from now on each of its messages has a transaction of its own"
                    );
                }
                all_alone(places, &Cause::Handler, ended);
            }
            Blame::Elsewhere => all_alone(places, &Cause::Handler, ended),
            // Nobody's fault: the whole batch is tried again.
            _ if judgement.disposition == Disposition::Retry && (!judgement.counts || lost) => {
                for (place, cause) in places.iter().zip(told_once(&judgement.cause)) {
                    ended[*place] = Some(Ended::Failed {
                        counts: false,
                        cause,
                        reason: judgement.reason.clone(),
                    });
                }
            }
            Blame::Body => return halves(places),
            Blame::Database => all_alone(places, &judgement.cause, ended),
        }
        Next::Ended
    }
}

/// Runs it; and whether it lost to another transaction. None: it panicked.
async fn caught<T>(run: impl Future<Output = T>) -> Option<(T, bool)> {
    AssertUnwindSafe(conflicts::observed(run))
        .catch_unwind()
        .await
        .ok()
}

fn halves(places: &[usize]) -> Next {
    let (first, then) = places.split_at(places.len() / 2);
    Next::Again(first.to_vec(), then.to_vec())
}

/// Each is run by itself.
fn all_alone(places: &[usize], cause: &Cause, ended: &mut [Option<Ended>]) {
    for (place, cause) in places.iter().zip(told_once(cause)) {
        ended[*place] = Some(Ended::Alone(cause));
    }
}

/// One failure of the database is one, however many deliveries it failed.
fn told_once(cause: &Cause) -> impl Iterator<Item = Cause> {
    iter::once(cause.clone()).chain(iter::repeat(Cause::Told))
}
