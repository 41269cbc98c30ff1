//! How connections to the broker are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::time::timeout;

use crate::error::RabbitMqError;

/// How long one connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

type Connect = dyn Fn() -> BoxFuture<'static, lapin::Result<Connection>> + Send + Sync;

/// Makes connections to RabbitMQ, again when one is lost.
///
/// ```
/// use idem_rabbitmq::Connector;
/// use idem_rabbitmq::lapin::{Connection, ConnectionProperties};
///
/// # fn main() -> Result<(), idem_rabbitmq::RabbitMqError> {
/// let plain = Connector::url("amqp://user:password@rabbitmq.internal:5672/shop?heartbeat=10")?;
///
/// // TLS, client certificates, OAuth: your own client
/// let own = Connector::new(|| async {
///     let properties = ConnectionProperties::default().with_connection_name("ledger".into());
///     Connection::connect("amqps://rabbitmq.internal/shop", properties).await
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connector(Arc<Connect>);

impl Connector {
    /// By a URL: `amqp://user:password@host:port/vhost`. An empty path is the virtual host `/`.
    ///
    /// `heartbeat=10` in its query is how soon a dead connection is noticed, in seconds.
    ///
    /// # Errors
    /// [`RabbitMqError::Url`].
    pub fn url(url: &str) -> Result<Self, RabbitMqError> {
        // Its own words may quote the password.
        let uri: AMQPUri = url.parse().map_err(|_| RabbitMqError::Url)?;
        Ok(Self::new(move || {
            Connection::connect_uri(uri.clone(), ConnectionProperties::default())
        }))
    }

    /// By your own client. It is called for each connection: do not turn on its recovery, since
    /// publisher and source connect again by themselves, and know better what was lost.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = lapin::Result<Connection>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(connect())))
    }

    pub(crate) async fn connect(&self) -> lapin::Result<Connection> {
        timeout(CONNECT_WITHIN, (self.0)())
            .await
            .unwrap_or_else(|_| {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(ErrorKind::IOError(Arc::new(late)).into())
            })
    }
}

/// Shows nothing: a URL has a password in it.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
