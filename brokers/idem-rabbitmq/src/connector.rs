//! How connections to the broker are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::time::timeout;

use crate::error::RabbitMqError;

/// How long RabbitMQ may take to let a session begin or end. Heartbeats do not tell that one answer
/// is missing, as of a queue that has no leader.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long is waited for the end of a connection that is given up.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The code of a close that is no error.
const SUCCESS: u16 = 200;

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

    /// Makes a connection and begins a session on it. If that is not answered, the connection is
    /// closed: RabbitMQ may have begun the session, and would deliver to nobody.
    pub(crate) async fn begin<T>(
        &self,
        session: impl AsyncFnOnce(&Connection) -> lapin::Result<T>,
    ) -> lapin::Result<(Connection, T)> {
        let connection = answered((self.0)()).await?;
        match answered(session(&connection)).await {
            Ok(begun) => Ok((connection, begun)),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }
}

/// Asks RabbitMQ to close a connection, and does not wait long for it to say so.
pub(crate) async fn close(connection: &Connection) {
    let closed = connection.close(SUCCESS, "given up".into());
    // What RabbitMQ says to that makes no difference.
    let _ = timeout(CLOSE_WITHIN, closed).await;
}

/// Waits for an answer, and not for ever.
pub(crate) async fn answered<T>(
    answer: impl Future<Output = lapin::Result<T>>,
) -> lapin::Result<T> {
    timeout(ANSWER_WITHIN, answer).await.unwrap_or_else(|_| {
        let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Err(ErrorKind::IOError(Arc::new(late)).into())
    })
}

/// Shows nothing: a URL has a password in it.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
