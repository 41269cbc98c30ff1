//! Whether a call ended because it lost to another transaction, for a consumer, which counts no
//! attempt then. The error alone does not say so: only the handler's expansion knows where the
//! database's error is in it.

use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static LOST: Cell<bool>;
}

/// Runs calls, and says whether the last one lost to another transaction.
pub(crate) async fn observed<F: Future>(calls: F) -> (F::Output, bool) {
    LOST.scope(Cell::new(false), async {
        let output = calls.await;
        (output, LOST.with(Cell::get))
    })
    .await
}

/// A call ends, and lost or not.
pub(crate) fn note(lost: bool) {
    // Nobody asks, but in a consumer.
    let _ = LOST.try_with(|flag| flag.set(lost));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_call_decides_and_outside_of_a_consumer_nobody_asks() {
        note(true);
        let (answer, lost) = observed(async {
            note(true);
            7
        })
        .await;
        assert_eq!((answer, lost), (7, true));
        let ((), lost) = observed(async {
            note(true);
            note(false);
        })
        .await;
        assert!(!lost);
        assert!(!observed(async {}).await.1);
    }
}
