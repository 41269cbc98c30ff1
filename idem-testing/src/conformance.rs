//! Checks that a publisher keeps what [`Publisher`](idem_runtime::Publisher) asks of it.
//!
//! For the authors of publishers. The suite runs yours against a real broker or endpoint. You
//! describe that by the trait [`PublishTarget`]: how to make a publisher, how to read what arrived,
//! and how to break it.
//!
//! ```no_run
//! use idem_runtime::{Message, broker::JsonLines, cloud_events};
//! use idem_testing::conformance::{self, PublishTarget};
//!
//! /// Reads a file as it grows.
//! struct Lines {
//!     path: std::path::PathBuf,
//!     read: std::sync::Mutex<usize>,
//! }
//!
//! impl PublishTarget for Lines {
//!     type Publisher = JsonLines;
//!
//!     async fn publisher(&self) -> JsonLines {
//!         JsonLines::file(&self.path)
//!     }
//!
//!     async fn received(&self) -> Vec<Message> {
//!         let text = std::fs::read_to_string(&self.path).unwrap_or_default();
//!         let mut read = self.read.lock().unwrap();
//!         let new = text[*read..].split_inclusive('\n').filter(|line| line.ends_with('\n'));
//!         let new: Vec<_> = new.collect();
//!         *read += new.iter().map(|line| line.len()).sum::<usize>();
//!         let event = |line: &str| cloud_events::from_json(line.as_bytes()).unwrap();
//!         new.into_iter().map(|line| event(line).try_into().unwrap()).collect()
//!     }
//! }
//!
//! #[tokio::test]
//! async fn json_lines_is_a_publisher() {
//!     let target = Lines { path: "/tmp/events.jsonl".into(), read: 0.into() };
//!     conformance::publisher(&target).await.assert_holds();
//! }
//! ```
//!
//! # What it checks
//!
//! | case | what must hold |
//! |---|---|
//! | fields | each field of a message arrives as it was sent, also unusual ones |
//! | verdicts | each message of a batch gets a verdict; an empty batch ends |
//! | again | a message that is published again is confirmed again, under the same ID |
//! | order | the messages of a key arrive in order, within a batch and from batch to batch |
//! | calls at once | several calls of one publisher do not disturb each other |
//! | confirmed | what is confirmed has arrived, even if the call is dropped at that moment |
//! | cancelled | after a call was dropped at any await, the publisher works, and nothing confirmed is lost |
//! | down | while the broker is down, no message is confirmed and none becomes a dead letter; afterwards all arrive, in order |
//! | hanging | one message that gets no answer delays no other key |
//! | refused | one message that is refused stops no other key, and no later message of its key is published before it |
//! | load | a batch of 10,000 is confirmed within the time limit |
//!
//! In every case: no reason of an error shows a payload, a key or a header. A case that the target
//! does not support is left out, and the report says why: it is not a failure, so read the report.

mod cases;
mod failure;
mod report;
mod stage;
mod target;

pub use report::ConformanceReport;
pub use target::{BrokerFault, Oddity, PublishTarget, Unsupported};

/// Runs all cases against this target, one after the other; see the [module](self).
///
/// Takes some seconds, most of them for the batch of 10,000 messages. A case that does not end
/// within [`time_limit`](PublishTarget::time_limit) is a violation.
pub async fn publisher<T: PublishTarget>(target: &T) -> ConformanceReport {
    cases::run(target).await
}
