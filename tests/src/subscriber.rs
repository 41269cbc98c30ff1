//! What a test hears of `tracing`, whatever other tests hear at the same time.

use std::sync::LazyLock;

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Registry;

/// A subscriber that wants everything and keeps nothing, for as long as the process runs.
static ALWAYS: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));

/// Gives this thread a subscriber until the guard is dropped.
///
/// In a process with one subscriber, a thread that has none and is the first to reach a span decides
/// for all that nobody wants it. With one more subscriber each is asked, so no span of another test
/// is lost.
pub fn subscribe(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    LazyLock::force(&ALWAYS);
    tracing::subscriber::set_default(subscriber)
}
