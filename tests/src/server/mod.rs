//! Private servers on free loopback ports, each with its data in a temporary folder.
//!
//! [`postgres`], [`mariadb`] and [`pgbouncer`] give the one server that all tests of a process
//! share; it starts at the first call. A test that needs a server with settings of its own, or one
//! that it may crash, starts it by [`Postgres::start`], [`MariaDb::start`], [`PgBouncer::start`],
//! [`RabbitMq::start`], [`Nats::start`] or [`Kafka::start`].
//!
//! A server ends with the test process, however that ends, and takes its folder along. Data are not
//! flushed to disk unless [`Options::durable`] asks for it. A program that is not installed is an
//! error that says how to get it: no test is ever skipped for it.

mod account;
mod database;
mod error;
mod folder;
mod kafka;
mod locale;
mod mariadb;
mod nats;
mod off_runtime;
mod options;
mod pgbouncer;
mod postgres;
mod process;
mod program;
mod rabbitmq;
mod shared;
mod template;

pub use self::database::{Database, sqlite};
pub use self::error::Error;
pub use self::kafka::Kafka;
pub use self::mariadb::MariaDb;
pub use self::nats::{Nats, NatsRelease};
pub use self::options::Options;
pub use self::pgbouncer::PgBouncer;
pub use self::postgres::Postgres;
pub use self::rabbitmq::{QueueCounts, RabbitMq};
pub use self::shared::{mariadb, pgbouncer, postgres};
