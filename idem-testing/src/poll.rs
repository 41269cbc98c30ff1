//! Driving a future to an exact point of its run.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls `future` and drops it when it is pending for the `k`-th time: `None` then, or its result
/// when it is ready before. With `k` of 0 it is dropped without a poll.
///
/// A cancel on a timer hits the few points where a future spends its time. This one hits each:
///
/// ```
/// use idem_testing::drop_at_pending;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut points = 0;
/// while drop_at_pending(points, tokio::task::yield_now()).await.is_none() {
///     points += 1;
/// }
/// assert_eq!(points, 2); // before the first poll, and at its only await
/// # });
/// ```
pub async fn drop_at_pending<F: Future>(k: usize, future: F) -> Option<F::Output> {
    if k == 0 {
        return None;
    }
    let mut running = Some(Box::pin(future));
    let mut pendings = 0;
    poll_fn(move |context| {
        let Some(future) = running.as_mut() else {
            return Poll::Ready(None);
        };
        match Pin::new(future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                pendings += 1;
                if pendings < k {
                    return Poll::Pending;
                }
                // Here, and not at the end of the caller's statement.
                running = None;
                Poll::Ready(None)
            }
        }
    })
    .await
}

/// Runs `future` to its end, and reports each poll. A panic in it becomes the result, as text.
pub(crate) async fn catch_panic<F: Future>(
    future: F,
    polled: impl Fn(),
) -> Result<F::Output, String> {
    let mut future = Box::pin(future);
    let poll = move |context: &mut Context<'_>| {
        polled();
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(text(&*panic))),
        }
    };
    poll_fn(poll).await
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::*;

    struct SetOnDrop<'a>(&'a Cell<bool>);

    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    async fn three_pendings(reached: &Cell<u32>) -> &'static str {
        for step in 1..=3 {
            reached.set(step);
            yield_now().await;
        }
        "done"
    }

    #[tokio::test]
    async fn a_future_runs_to_its_kth_pending_and_no_further() {
        for k in 0..=3 {
            let reached = Cell::new(0);
            let result = drop_at_pending(k, three_pendings(&reached)).await;
            assert_eq!((result, reached.get() as usize), (None, k));
        }
    }

    #[tokio::test]
    async fn a_future_that_is_ready_before_gives_its_result() {
        let reached = Cell::new(0);
        assert_eq!(
            drop_at_pending(4, three_pendings(&reached)).await,
            Some("done")
        );
    }

    #[tokio::test]
    async fn the_future_is_gone_when_the_wrapper_returns() {
        let dropped = Cell::new(false);
        let guard = SetOnDrop(&dropped);
        let wrapper = drop_at_pending(1, async {
            let _guard = guard;
            yield_now().await;
        });
        assert_eq!(wrapper.await, None);
        assert!(dropped.get());
    }

    #[tokio::test]
    async fn a_panic_is_a_result() {
        let polls = Cell::new(0);
        let caught = catch_panic(
            async {
                yield_now().await;
                assert!(std::hint::black_box(false), "not {}", "this");
            },
            || polls.set(polls.get() + 1),
        );
        assert_eq!(caught.await, Err("not this".into()));
        assert_eq!(catch_panic(async { 7 }, || ()).await, Ok(7));
        assert_eq!(polls.get(), 2);
    }
}
