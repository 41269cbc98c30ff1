//! Kafka.

mod connector;
#[allow(dead_code, reason = "of the source")]
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
