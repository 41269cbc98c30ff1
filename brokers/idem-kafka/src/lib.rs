//! Apache Kafka for [`idem-runtime`](idem_runtime): [`KafkaPublisher`] sends the events of an
//! outbox, and [`KafkaSource`] gives the messages of topics to a
//! [`Consumer`](idem_runtime::Consumer).
//!
//! ```no_run
//! use std::error::Error;
//!
//! use idem_kafka::{KafkaPublisher, KafkaSource};
//! use idem_runtime::{Consumer, Event, Relay, idempotent, migrate};
//! use serde::{Deserialize, Serialize};
//! use sqlx::{PgConnection, PgPool};
//!
//! const BROKERS: &str = "127.0.0.1:9092";
//!
//! #[derive(Serialize, Deserialize, Event)]
//! #[event(topic = "payments.captured", key = "account")]
//! struct Payment {
//!     id: String,
//!     account: i64,
//!     cents: i64,
//! }
//!
//! #[idempotent(key = "payment.id", handler = ApplyPayment)]
//! async fn apply_payment(tx: &mut PgConnection, payment: &Payment) -> Result<(), sqlx::Error> {
//!     sqlx::query("UPDATE accounts SET cents = cents + $1 WHERE id = $2")
//!         .bind(payment.cents)
//!         .bind(payment.account)
//!         .execute(&mut *tx)
//!         .await?;
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     let pool = PgPool::connect(&std::env::var("DATABASE_URL")?).await?;
//!     migrate(&pool).await?;
//!
//!     // What this service emits goes to the topics that its events name. They must exist.
//!     let publisher = KafkaPublisher::new(BROKERS)?;
//!     let relay = Relay::new(pool.clone(), publisher).run(std::future::pending());
//!     tokio::spawn(relay); // in a service watch this task: an error ends the relay
//!
//!     // What it handles comes from a topic, which the instances of the group `ledger` share.
//!     let source = KafkaSource::new(BROKERS, "ledger", ["payments.captured"])?;
//!     let consumer = Consumer::new("ledger", source).on::<ApplyPayment>();
//!     consumer.run(&pool, std::future::pending()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What holds
//!
//! * The relay deletes an event once all replicas of its partition that are in sync have it. One
//!   whose topic does not exist is a dead letter with the fix, never a silent loss.
//! * Events of one ordering key are in one partition, in the order in which they were emitted. One is
//!   sent when the one before it was confirmed.
//! * The offset of a message is committed after COMMIT of its effect, and of all before it in its
//!   partition. No offset goes back.
//! * Messages of one key are handled in order, over all instances: a partition is one instance's at a
//!   time. When it is taken away, what runs of it ends and is committed before the next owner gets
//!   it, in groups of both kinds, cooperative and eager.
//! * A handler may run for as long as it likes: a thread of the source's own polls.
//! * Publisher and source connect again by themselves, and a producer that can't go on is replaced
//!   by a new one.
//! * The source reports why messages stop: brokers that are away, a topic that does not exist, no
//!   access, a member that another one has replaced. A message that the client can't read ends the
//!   consumer, since the client would skip it.
//!
//! # What Kafka loses, repeats and reorders
//!
//! | what | when | what to do, or what is done |
//! |---|---|---|
//! | loses | confirmed messages, when **the last replica in sync** fails: with `min.insync.replicas` of 1, the default, that can be the leader alone | three replicas, and `min.insync.replicas` of 2 on the topic |
//! | loses | confirmed messages, by **`unclean.leader.election.enable`**: a replica that lags becomes the leader | leave it off, as it is by default |
//! | loses | confirmed messages, when **the power fails** everywhere at once: replicas confirm before they sync to disk | replicas that do not fail together |
//! | loses | what is not handled yet, by **`retention.ms` and `retention.bytes`** of the topic (7 days by default), or by compaction | leave room for the longest outage. The group then goes on at the oldest message that is left; with `auto.offset.reset` of `error` the consumer ends instead |
//! | loses | the offsets of a group that has had no member for **`offsets.retention.minutes`** (7 days by default) | what the topic still has comes again, since `auto.offset.reset` is `earliest` here: the handlers' keys must be remembered for as long. With `latest` it would be lost |
//! | repeats | what was in hand when a process died, and what was settled behind a message that was not, at most a [`window`](KafkaSource::window) a partition | its handler's key: a duplicate has no second effect |
//! | repeats | what is in hand when a session ends without notice, as after 45 s without a heartbeat | the same |
//! | repeats | an event whose confirmation was lost, once its producer has ended | the same event ID. Within the life of a producer the brokers store it once |
//! | reorders | events of a key, when **partitions are added** to a topic: later ones go to another partition | add none to a topic whose order matters, or drain it before |
//! | reorders | what is in hand when a **session is lost**: the next owner may begin before it has ended | the same key: an effect happens once, whoever is first |
//! | shows | messages of **transactional producers** that were rolled back, with `isolation.level` of `read_uncommitted` | leave it at `read_committed`, the client's default. A message then waits for the end of the transactions before it |
//!
//! # Time bounds
//!
//! | bound | default | what happens then |
//! |---|---|---|
//! | a confirmation of an event | 10 s, [`KafkaPublisher::timeout`] | the event is tried again |
//! | a topic that nobody knows | 5 s, `topic.metadata.propagation.max.ms` | its events are dead letters |
//! | a confirmation of an offset | 10 s | the ack counts as not confirmed. It is tried again until the partition is given up |
//! | `session.timeout.ms`, without a heartbeat of the process | 45 s | its partitions go to others |
//! | `max.poll.interval.ms` | 5 minutes | bounds how long revoked partitions may take to be handed over, not how long a handler may run. Keep the consumer's [`shutdown_timeout`](idem_runtime::Consumer::shutdown_timeout) well below it |
//! | a broker that is back | 1 s, `reconnect.backoff.max.ms` | it is found |
//! | a delay | not supported | the consumer itself waits for the next attempt, in memory or in its database. What is given back comes again from the source's memory, after its time |
//!
//! # Settings that matter
//!
//! * [`KafkaSource::window`] (10,000 messages of a partition), [`KafkaSource::prefetch`] (1,000) and
//!   [`KafkaSource::prefetch_bytes`] (16 MiB) bound what the source takes, and the consumer's
//!   [`in_hand`](idem_runtime::Consumer::in_hand) what it has taken. The client has up to 16 MiB more
//!   (`queued.max.messages.kbytes`).
//! * `partition.assignment.strategy` is `cooperative-sticky`: partitions that stay are not
//!   interrupted. All members of a group must have the same one: for a group that has used another
//!   one so far, set that.
//! * `group.instance.id`, a different one for each instance, keeps its partitions through a restart
//!   that takes less than `session.timeout.ms`. Such a member does not leave the group when it
//!   ends.
//! * `partitioner` is `murmur2_random`, that of the Java clients. `linger.ms` is 0.
//! * `message.max.bytes` of the client (1 MB) and `max.message.bytes` of the topic: a larger event is
//!   a dead letter of the relay.
//! * A setting that breaks what holds is refused, such as `enable.idempotence` of `false` or
//!   `enable.auto.commit` of `true`.
//! * A user who publishes needs WRITE and DESCRIBE on the topics. One who consumes needs READ and
//!   DESCRIBE on the topics, and READ on the group.
//!
//! # TLS and authentication
//!
//! Both are the client's: a [`ClientConfig`](rdkafka::ClientConfig) is a [`Connector`].
//!
//! # Features
//!
//! This crate has no features. What else the client can do is a feature of `rdkafka`, such as
//! `ssl`, `gssapi` or `zstd`: add `rdkafka` with it to your own dependencies, with
//! `default-features = false`. Without `zstd` messages that are compressed by it can't be read.
//! Building the client takes a C compiler, a C++ compiler and make.

mod connector;
mod envelope;
mod error;
mod log;
mod publisher;
mod source;
mod topic;

pub use connector::Connector;
pub use error::KafkaError;
pub use publisher::KafkaPublisher;
/// The client, whose configuration a [`Connector`] takes.
pub use rdkafka;
pub use source::{KafkaDelivery, KafkaSource};
