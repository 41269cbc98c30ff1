//! Servers, proxies and helpers for the suites in `tests/tests/`.
//!
//! A test gets a database of its own on a server that it shares with the other tests of its
//! process:
//!
//! ```no_run
//! use idem_tests::server;
//!
//! # async fn example() -> Result<(), sqlx::Error> {
//! let database = server::postgres().database().await;
//! let pool = sqlx::PgPool::connect(database.url()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Keep `database` until the end of the test: dropping it drops the database. [`TestDb`] holds it
//! together with a pool, and with what tests of every database ask.
//! [`server::mariadb`] and [`server::sqlite`] give the others; a database from
//! [`server::pgbouncer`] is reached through PgBouncer in transaction pooling, and for what must not
//! go through it (advisory locks, `LISTEN`) by [`server::Database::direct_url`].
//!
//! A test that needs other settings, or that crashes its server, starts one of its own:
//!
//! ```no_run
//! # use idem_tests::server::{self, Options, Postgres};
//! # async fn example() -> Result<(), server::Error> {
//! let mut server = Postgres::start(Options::default().messages("de_DE").durable()).await?;
//! let database = server.database().await;
//! server.crash()?;
//! server.restart().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`proxy::Proxy`] stands between a client and a server, to delay, count and lose what passes;
//! [`poll::drop_at_pending`] cancels a future at each of its await points. [`at_rest`] checks
//! whether every transaction has ended.

pub mod at_rest;
mod deploys;
mod event_id;
pub mod poll;
pub mod proxy;
pub mod server;
mod subscriber;
pub mod test_db;
pub mod ui;

pub use event_id::event_id;
pub use subscriber::subscribe;
pub use test_db::TestDb;
