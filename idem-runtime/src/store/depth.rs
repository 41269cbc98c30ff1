//! How many transactions are open on a connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sqlx::Database;
use sqlx_core::transaction::TransactionManager as _;

use super::Store;

/// What sqlx has counted so far. On SQLite a transaction that was dropped may still be in it.
#[expect(
    clippy::disallowed_methods,
    reason = "`Store::depth` builds on it, and is what everything else asks"
)]
pub(super) fn counted<DB: Database>(conn: &DB::Connection) -> usize {
    DB::TransactionManager::get_transaction_depth(conn)
}

/// [`Store::depth`] for a `Drop`, which can't await. On a connection that broke, `floor`.
///
/// Blocks the thread only on SQLite, and only while a nested transaction that was dropped there,
/// and the statement that it was dropped in, have not ended.
pub(crate) fn of_dropped<DB: Store>(conn: &mut DB::Connection, floor: usize) -> usize {
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
