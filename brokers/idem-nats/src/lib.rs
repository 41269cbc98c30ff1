//! NATS JetStream for [`idem-runtime`](idem_runtime): [`NatsPublisher`] sends the events of an
//! outbox, and [`NatsSource`] gives the messages of a stream to a
//! [`Consumer`](idem_runtime::Consumer).
//!
//! ```no_run
//! use std::error::Error;
//!
//! use idem_nats::{DurableConsumer, NatsPublisher, NatsSource};
//! use idem_runtime::{Consumer, Event, Relay, idempotent, migrate};
//! use serde::{Deserialize, Serialize};
//! use sqlx::{PgConnection, PgPool};
//!
//! const URL: &str = "nats://127.0.0.1:4222";
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
//!     // What this service emits is for the stream `EVENTS`.
//!     let publisher = NatsPublisher::new(URL)?.stream("EVENTS")?;
//!     let relay = Relay::new(pool.clone(), publisher).run(std::future::pending());
//!     tokio::spawn(relay); // in a service watch this task: an error ends the relay
//!
//!     // What it handles comes from there, by the durable consumer `ledger`. Both are made if they
//!     // are not there.
//!     let durable = DurableConsumer::new(["payments.>"])?.filter("payments.captured")?;
//!     let source = NatsSource::new(URL, "EVENTS", "ledger")?.declare(durable);
//!     let consumer = Consumer::new("ledger", source).on::<ApplyPayment>();
//!     consumer.run(&pool, std::future::pending()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What holds
//!
//! * The relay deletes an event once a stream has answered that it has it. One that no stream takes
//!   is a failed attempt, never a silent loss.
//! * A message is acknowledged after COMMIT of its effect, and the ack counts as confirmed once the
//!   server has answered it. An ack whose connection was lost is sent again on the next one, within
//!   10 s.
//! * Publisher and source connect again by themselves. What was not confirmed is published again,
//!   under the same ID. A delivery outlives its connection: within its `ack_wait` it can be
//!   extended and settled on the next one.
//! * A delivery that came again, or whose `ack_wait` is over, is no longer given back or rejected:
//!   JetStream would apply that to the newer delivery of the same message.
//! * The source reports why messages stop: a consumer or a stream that was deleted, one without a
//!   leader, a silent server. It then asks again.
//!
//! # What NATS loses, repeats and reorders
//!
//! | what | when | what to do, or what is done |
//! |---|---|---|
//! | loses | confirmed messages, when **the power fails**: a stream confirms before it syncs them to disk, which it does every 2 minutes by default | three replicas that do not fail together, or `sync_interval: always` in the server's section `jetstream` |
//! | loses | a stream of **one replica**, with its server's disk; a stream **in memory**, with its server | [`DurableConsumer::replicas`]. What it makes is in files |
//! | loses | what is not handled yet, by **`max_age`, `max_msgs` or `max_bytes`** of the stream, which discard old messages by default | leave room for the longest outage, or `discard: new`: the relay then tries again |
//! | loses | what comes before a consumer is there, in a stream whose **retention** is `interest` | declare the consumers before the first event |
//! | loses | a message after **`max_deliver`** deliveries: it stays in the stream, and is never delivered to this consumer again | none is set unless you ask for it. The source reads it, and an attempt that fails one delivery before it makes a dead letter |
//! | repeats | what was in hand when a process died, and what was not extended in time, after `ack_wait` | its handler's key: a duplicate has no second effect |
//! | repeats | what a server that was killed has forgotten: acks, and what it had handed out | the same; the source recognises a message that it still has in hand |
//! | repeats | an event whose confirmation was lost, and that is published again later than **`duplicate_window`**, 2 minutes by default | the same event ID. Within the window the stream stores it once |
//! | reorders | deliveries to **several instances** | [`DurableConsumer::in_order`], one message at a time; or one stream, or one `filter`, for each part of the keys |
//! | reorders | what is **given back** or comes again: it may come behind later messages of its key | `in_order`, too. What waits for its next attempt is not given back: the consumer keeps it, in memory or in its database |
//!
//! Within one instance messages of one ordering key are handled in the order in which they were
//! delivered.
//!
//! # Time bounds
//!
//! | bound | default | what happens then |
//! |---|---|---|
//! | `ack_wait` of the consumer, or its `backoff` | 30 s, [`DurableConsumer::ack_wait`] | the message is handed out again. Consumer and source extend it each time a third of that has passed, as often as needed |
//! | making a connection, and asking for the durable consumer | 10 s | it is tried again |
//! | pings | each 10 s, with [`Connector::url`] | two without an answer are a dead connection: noticed after 20 to 30 s |
//! | a request for messages | a heartbeat of the server each 2 s | after 6 s of silence the source reports it, and asks again |
//! | a confirmation of an event | 10 s, [`NatsPublisher::timeout`] | the event is tried again |
//! | a confirmation of an ack | 10 s | it counts as not confirmed, and the message may come again |
//! | the end of a source | about 1 s | what is on its way by then is handed out; what comes later comes again after `ack_wait` |
//! | a delay | any | what is given back for a time does not come before it is over |
//!
//! # Settings that matter
//!
//! * [`NatsSource::prefetch`] (100) and [`NatsSource::prefetch_bytes`] (16 MiB) bound what waits in
//!   the source, and the consumer's [`in_hand`](idem_runtime::Consumer::in_hand) (1,000) what it
//!   has taken. `max_ack_pending` (1,000) bounds all instances together: at that number NATS hands
//!   out nothing more. Give it at least the sum of what they may hold.
//! * `max_payload` of the server (1 MiB with headers) and `max_msg_size` of the stream: a larger
//!   event is a dead letter of the relay.
//! * A stream that [`NatsSource::declare`] makes keeps every message for ever. Set its `max_age`,
//!   with room for the longest outage.
//! * A user who publishes needs `publish` on the subjects, and on `$JS.API.STREAM.NAMES` to be told
//!   why nobody answers. One who consumes needs it on `$JS.API.CONSUMER.INFO.<stream>.<durable>`,
//!   `$JS.API.CONSUMER.MSG.NEXT.<stream>.<durable>` and `$JS.ACK.<stream>.<durable>.>`; and for
//!   [`NatsSource::declare`] on `$JS.API.STREAM.INFO.<stream>`, `$JS.API.STREAM.CREATE.<stream>`
//!   and `$JS.API.CONSUMER.CREATE.<stream>.<durable>.>`. Both need `subscribe` on `_INBOX.>`.
//!
//! # TLS and authentication
//!
//! Both are the client's: [`Connector::new`] takes a function that makes a
//! [`Client`](async_nats::Client), and what is connected already is a [`Connector`], too. So is a
//! [`Context`](async_nats::jetstream::Context), for a domain or a prefix of the API. `tls://` in a
//! URL is TLS by rustls with ring and the system's certificates.
//!
//! # Features
//!
//! There are none. What else the client can do is a feature of `async-nats`, such as `websockets`.

mod connector;
mod envelope;
mod error;
mod publisher;
mod source;
mod subject;

/// The client, whose types [`Connector::new`] takes.
pub use async_nats;
pub use connector::Connector;
pub use error::NatsError;
pub use publisher::NatsPublisher;
pub use source::{DurableConsumer, NatsDelivery, NatsSource};
