//! Checks that a publisher keeps what [`Publisher`](idem_runtime::Publisher) asks of it, and a
//! source what [`Source`](idem_runtime::Source) does.
//!
//! For the authors of publishers and sources: [`publisher`] and [`source()`] are one line each in a
//! test.
//!
//! # Publishers
//!
//! The suite runs yours against a real broker or endpoint. You describe that by the trait
//! [`PublishTarget`]: how to make a publisher, how to read what arrived, and how to break it.
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
//! What it checks:
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
//!
//! # Sources
//!
//! The suite runs whole consumers on your source, with a real database. Of the broker it knows what
//! the trait [`SourceTarget`] says. Each instance of a consumer has a runtime of its own, which is
//! shut down where the suite lets a process die.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # mod example {
//! use idem_runtime::{Inbox, Incoming};
//! use idem_testing::conformance::{self, Capabilities, Kept, SourceTarget, WireMessage};
//! use sqlx::{Sqlite, SqlitePool};
//!
//! /// The inbox of a database.
//! struct Inboxes {
//!     url: String,
//!     pool: SqlitePool,
//! }
//!
//! impl SourceTarget for Inboxes {
//!     type Source = Inbox<Sqlite>;
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::none("an inbox has no broker", 64)
//!     }
//!
//!     async fn create(&self, _queue: &str) {}
//!
//!     async fn source(&self, queue: &str) -> Inbox<Sqlite> {
//!         Inbox::new(SqlitePool::connect(&self.url).await.unwrap(), queue)
//!     }
//!
//!     async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
//!         let inbox = Inbox::new(self.pool.clone(), queue);
//!         for message in messages {
//!             let WireMessage { attributes, content_type, body, .. } = message;
//!             inbox.store(Incoming::from_attributes(attributes, content_type, body)).await.unwrap();
//!         }
//!     }
//!
//!     async fn kept(&self, queue: &str) -> Kept {
//!         let sql = "SELECT count(*) FROM idem_inbox WHERE name = $1 AND done_at IS NULL";
//!         let waiting: i64 = sqlx::query_scalar(sql).bind(queue).fetch_one(&self.pool).await.unwrap();
//!         Kept { waiting: waiting as usize, handed_out: 0 }
//!     }
//! }
//!
//! #[tokio::test]
//! async fn an_inbox_is_a_source() {
//!     let url = std::env::var("TEST_DATABASE_URL").unwrap(); // an empty database
//!     let pool = SqlitePool::connect(&url).await.unwrap();
//!     let target = Inboxes { url: url.clone(), pool };
//!     conformance::source::<Sqlite, _>(target, &url).await.assert_holds();
//! }
//! # }
//! ```
//!
//! What it checks:
//!
//! | case | law |
//! |---|---|
//! | fields | each field of a message arrives as it was sent, also odd ones |
//! | settled, given back, delayed, counts | what each way to settle a delivery leads to |
//! | stop | what was taken comes, and then the end; the rest is for another instance |
//! | cut | a settlement through a connection that was cut is no success |
//! | commit | acknowledged only after COMMIT: the broker is asked |
//! | lost ack | a process that dies between COMMIT and the ack: a duplicate, and one effect |
//! | panic, poison | a dead letter after the attempts, while neighbours go on, also of its key |
//! | unreadable | what can't be decoded, is of unknown type or has no ID: a dead letter with its bytes |
//! | attempts | counted in the database, and not once more for each instance or restart |
//! | killer | a message that kills the process becomes a dead letter |
//! | order, ordered | of each key, with failures; over two instances where the broker does that |
//! | stuck | a key that fails for long stops no other, although it fills what may be taken |
//! | parked | a key that was put aside goes on in order after a restart |
//! | deadline, back-off | the broker takes nothing back while it runs, waits in memory or for an attempt |
//! | shutdown, rebalance | in the middle: what runs ends, and nothing is lost or done twice |
//! | broker | killed and restarted in the middle, or every connection cut: nothing lost, each effect single |
//! | outage | of the database: no dead letter |
//! | memory | a slow consumer of payloads of 1 MiB: neither it nor the source takes more than it may |
//! | load | many messages |
//!
//! The environment variable `IDEM_CONFORMANCE=long` plays an outage of 20 s, 100,000 messages and
//! 1 GiB of payloads; otherwise it is 3 s, 1,000 messages and some MiB.

mod cases;
mod failure;
mod report;
mod source;
mod stage;
mod target;

pub use report::ConformanceReport;
pub use source::database::SourceDatabase;
pub use source::source;
#[doc(hidden)]
pub use source::source_cases;
pub use source::target::{Capabilities, Kept, SourceTarget, WireMessage};
pub use target::{BrokerFault, Oddity, PublishTarget, Unsupported};

/// Runs all cases against this target, one after the other; see the [module](self).
///
/// Takes some seconds, most of them for the batch of 10,000 messages. A case that does not end
/// within [`time_limit`](PublishTarget::time_limit) is a violation.
pub async fn publisher<T: PublishTarget>(target: &T) -> ConformanceReport {
    cases::run(target).await
}
