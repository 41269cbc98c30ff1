//! RabbitMQ for [`idem-runtime`](idem_runtime): [`RabbitMqPublisher`] sends the events of an
//! outbox, and [`RabbitMqSource`] gives the messages of a queue to a
//! [`Consumer`](idem_runtime::Consumer).
//!
//! ```no_run
//! use std::error::Error;
//!
//! use idem_rabbitmq::{QuorumQueue, RabbitMqPublisher, RabbitMqSource};
//! use idem_runtime::{Consumer, Event, Relay, idempotent, migrate};
//! use serde::{Deserialize, Serialize};
//! use sqlx::{PgConnection, PgPool};
//!
//! const URL: &str = "amqp://guest:guest@127.0.0.1:5672";
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
//!     // What this service emits goes to the exchange `events`, which must exist.
//!     let publisher = RabbitMqPublisher::new(URL)?.exchange("events")?;
//!     let relay = Relay::new(pool.clone(), publisher).run(std::future::pending());
//!     tokio::spawn(relay); // in a service watch this task: an error ends the relay
//!
//!     // What it handles comes from the queue `ledger`. It is declared here. Its binding to
//!     // `payments.captured`, and the exchange `ledger.dead` with a queue, must exist.
//!     let queue = QuorumQueue::new(20).dead_letter_exchange("ledger.dead")?;
//!     let source = RabbitMqSource::new(URL, "ledger")?.declare(queue);
//!     let consumer = Consumer::new("ledger", source).on::<ApplyPayment>();
//!     consumer.run(&pool, std::future::pending()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What holds
//!
//! * The relay deletes an event once RabbitMQ has confirmed it, for each queue that it was routed
//!   to. One that no queue takes is a failed attempt, never a silent loss.
//! * A message is acknowledged after COMMIT of its effect. AMQP has no answer to an ack, so it
//!   counts as confirmed once the channel has answered a request that was sent after it.
//! * Publisher and source connect again by themselves. What was not confirmed is published again,
//!   what was not acknowledged is delivered again, and an ack is only ever sent on the channel that
//!   its delivery came from.
//!
//! # What RabbitMQ loses, repeats and reorders
//!
//! | what | when | what to do, or what is done |
//! |---|---|---|
//! | loses | a **classic queue that is not replicated**, with its node | [`QuorumQueue`], three nodes or more |
//! | loses | a **queue that is not durable**, or an exchange without a queue behind it | declare durable ones. Events are persistent and `mandatory` |
//! | loses | a message over its **delivery limit**, without a dead letter exchange. RabbitMQ 4 sets a limit of 20 where none is set | [`QuorumQueue::new`] always sets one. If the consumer knows the limit, an attempt that fails one delivery before it makes a dead letter |
//! | loses | what is over **`x-message-ttl`**, or over **`x-max-length`** with `drop-head`, the default | set neither, or `x-overflow: reject-publish` for the length: the relay then tries again |
//! | loses | a dead letter whose **dead letter exchange** or queue does not exist | make both before; [`QuorumQueue`] only names the exchange |
//! | repeats | each message that was in hand when a connection ends, a node fails, or a channel is closed | its handler's key: a duplicate has no second effect |
//! | repeats | what was acknowledged right before a connection ended: a **quorum queue** may not have all acks yet when its channel has answered | the same |
//! | repeats | an event whose confirmation was lost | the same event ID |
//! | reorders | deliveries to **several consumers** of a queue | [`QuorumQueue::single_active_consumer`], or one queue for each part of the keys |
//! | reorders | a message that is **given back** alone: a quorum queue puts it behind those that came back before it | at a shutdown nothing is given back alone. The connection is closed once what runs has ended, and quorum and classic queues then put the rest back in its order. Until then other instances do not get it, nor what RabbitMQ still delivers here, at most the prefetch |
//!
//! Within one instance messages of one ordering key are handled in the order in which they were
//! delivered.
//!
//! # Time bounds
//!
//! | bound | default | what happens then |
//! |---|---|---|
//! | `consumer_timeout` of RabbitMQ | 30 minutes | the channel is closed, and everything in hand comes again. Nothing extends it; a minute before it the consumer logs a warning with the handler's name. If yours differs, say so by [`RabbitMqSource::consumer_timeout`] |
//! | heartbeat | 60 s; `?heartbeat=10` in the URL makes it 10 s | a connection that is silent for twice that is dead, on both sides |
//! | a connection | 10 s | it is tried again |
//! | a confirmation | 10 s, [`RabbitMqPublisher::timeout`] | the event is tried again, on a new connection if nothing else was confirmed |
//! | a delay | not supported | RabbitMQ delivers what is given back at once. So the consumer itself waits for the next attempt, in memory or in its database |
//!
//! # Settings that matter
//!
//! * [`RabbitMqSource::prefetch`] (100 messages) bounds memory: RabbitMQ has no limit in bytes.
//! * `max_message_size` (16 MiB on RabbitMQ 4, 128 MiB before): a larger event is a dead letter of
//!   the relay. Headers must fit into one frame, `frame_max`.
//! * A memory or disk alarm blocks publishers, and RabbitMQ does not answer them. After 10 s the
//!   relay pauses, and logs that.
//! * A user needs `write` on the exchange, `read` on the queue, and `configure` for
//!   [`RabbitMqSource::declare`].
//!
//! # TLS and authentication
//!
//! Both are the client's: [`Connector::new`] takes a function that makes a
//! [`lapin::Connection`]. For `amqps://` in a URL turn on the feature `rustls`.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `rustls` | `amqps://`, by rustls with ring and the system's certificates |

mod connector;
mod envelope;
mod error;
mod publisher;
mod source;

pub use connector::Connector;
pub use error::RabbitMqError;
/// The client, whose types [`Connector::new`] takes.
pub use lapin;
pub use publisher::RabbitMqPublisher;
pub use source::{QuorumQueue, RabbitMqDelivery, RabbitMqSource};
