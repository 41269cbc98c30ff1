//! What a `Drop`, which can't await, asks of its connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::store::Store;

/// [`Store::depth`] for a `Drop`, which can't await. On a connection that broke, `floor`.
///
/// Blocks the thread only on SQLite, and only until two things have ended: a nested transaction
/// that was dropped there, and the statement that it was dropped in.
pub(super) fn depth<DB: Store>(conn: &mut DB::Connection, floor: usize) -> usize {
    block_on(DB::depth(conn, floor)).unwrap_or(floor)
}

/// Nothing that runs here needs the runtime: SQLite's worker is a thread of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
