//! Where a handler waits in its body until its test lets it go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// How a handler that was held goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    Refused,
}

/// One handler's, and its test's.
#[derive(Debug)]
pub(crate) struct Stage {
    here: Semaphore,
    go_on: Semaphore,
    verdict: Mutex<Verdict>,
    session: AtomicI64,
    executions: AtomicUsize,
}

impl Stage {
    pub(crate) const fn new() -> Self {
        Self {
            here: Semaphore::const_new(0),
            go_on: Semaphore::const_new(0),
            verdict: Mutex::new(Verdict::Well),
            session: AtomicI64::new(0),
            executions: AtomicUsize::new(0),
        }
    }

    /// For the handler, when it starts. Whether it is the first time.
    pub(crate) fn enter(&self, session: i64) -> bool {
        self.session.store(session, Ordering::SeqCst);
        self.executions.fetch_add(1, Ordering::SeqCst) == 0
    }

    /// For the handler.
    pub(crate) async fn meet(&self) -> Verdict {
        self.here.add_permits(1);
        self.go_on.acquire().await.expect("never closed").forget();
        *self.verdict.lock().expect("nobody panics with it")
    }

    /// Waits until the handler is here.
    pub(crate) async fn met(&self) {
        self.here.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn let_go_on(&self, verdict: Verdict) {
        *self.verdict.lock().expect("nobody panics with it") = verdict;
        self.go_on.add_permits(1);
    }

    /// The session on which the handler runs.
    pub(crate) fn session(&self) -> i64 {
        self.session.load(Ordering::SeqCst)
    }

    /// How often the handler has started.
    pub(crate) fn executions(&self) -> usize {
        self.executions.load(Ordering::SeqCst)
    }
}
