//! How connections to the servers are made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::error::NatsError;

/// How long NATS may take to let a session begin.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often a connection is looked at. Its end is told to the client's own callback alone, and that
/// is the user's.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Two of them without an answer are a dead connection.
const PING_EVERY: Duration = Duration::from_secs(10);

type Connect = dyn Fn() -> BoxFuture<'static, Result<Client, ConnectError>> + Send + Sync;

/// Makes the connection to NATS. The client makes it again by itself when it is lost.
///
/// ```
/// use idem_nats::Connector;
/// use idem_nats::async_nats::ConnectOptions;
///
/// # fn main() -> Result<(), idem_nats::NatsError> {
/// let plain = Connector::url("nats://user:password@n1.internal:4222,nats://n2.internal:4222")?;
///
/// // TLS, credentials, nkeys: your own client
/// let own = Connector::new(|| async {
///     let options = ConnectOptions::with_token("secret".into()).require_tls(true);
///     options.name("ledger").connect("nats.internal").await
/// });
/// # Ok(())
/// # }
/// ```
///
/// A [`Client`] that is connected already is a connector, too, and so is a [`Context`] of a domain
/// or an API prefix: both are shared with what else uses them.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

enum Inner {
    Given(Context),
    Made {
        connect: Box<Connect>,
        /// The one that was made, if it was.
        made: Mutex<Option<Context>>,
    },
}

/// Why there is no connection.
pub(crate) struct NotConnected {
    pub(crate) reason: String,
    /// The server has refused this user, and would refuse again.
    pub(crate) is_refusal: bool,
}

impl Connector {
    /// By a URL: `nats://user:password@host:port`, `nats://token@host:port`, or several with commas
    /// between them, of which the first that names a user counts. `tls://` asks for TLS with the
    /// system's certificates.
    ///
    /// The server is asked for a sign of life each 10 s, so that a dead connection is noticed after
    /// 20 to 30 s.
    ///
    /// # Errors
    /// [`NatsError::Url`].
    pub fn url(url: &str) -> Result<Self, NatsError> {
        let addresses = url.split(',').map(|url| url.trim().parse());
        let addresses: Result<Vec<ServerAddr>, _> = addresses.collect();
        // Its own words may quote the password.
        let addresses = addresses.map_err(|_| NatsError::Url)?;
        Ok(Self::new(move || {
            let options = ConnectOptions::new().name("idem").ping_interval(PING_EVERY);
            // The client itself leaves out who is named in a URL.
            let options = match addresses.iter().find_map(user) {
                Some((user, Some(password))) => options.user_and_password(user, password),
                Some((token, None)) => options.token(token),
                None => options,
            };
            options.connect(addresses.clone())
        }))
    }

    /// By a client of your own. It is asked for once, and again only if that fails. Leave
    /// `max_reconnects` as it is, without a limit: a client that gives up is not replaced.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Client, ConnectError>> + Send + 'static,
    {
        Self(Arc::new(Inner::Made {
            connect: Box::new(move || Box::pin(connect())),
            made: Mutex::default(),
        }))
    }

    /// The client, whether it is connected now or not.
    pub(crate) async fn context(&self) -> Result<Context, NotConnected> {
        let (connect, made) = match &*self.0 {
            Inner::Given(context) => return Ok(context.clone()),
            Inner::Made { connect, made } => (connect, made),
        };
        let mut made = made.lock().await;
        if let Some(context) = &*made {
            return Ok(context.clone());
        }
        let client = match timeout(ANSWER_WITHIN, connect()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(not_connected(&error)),
            Err(_) => {
                return Err(NotConnected {
                    reason: format!("no answer within {ANSWER_WITHIN:?}"),
                    is_refusal: false,
                });
            }
        };
        Ok(made.insert(jetstream::new(client)).clone())
    }
}

/// The user and the password of a URL, or a token.
fn user(address: &ServerAddr) -> Option<(String, Option<String>)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(address.username()?);
    Some((user, address.password().map(decoded)))
}

fn not_connected(error: &ConnectError) -> NotConnected {
    NotConnected {
        reason: error.to_string(),
        is_refusal: matches!(
            error.kind(),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
        ),
    }
}

impl From<Client> for Connector {
    fn from(client: Client) -> Self {
        jetstream::new(client).into()
    }
}

impl From<Context> for Connector {
    fn from(context: Context) -> Self {
        Self(Arc::new(Inner::Given(context)))
    }
}

/// One connection of a client, which makes others after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection(u64);

impl Connection {
    /// The present one, if there is one.
    pub(crate) fn of(client: &Client) -> Option<Self> {
        let is_connected = client.connection_state() == State::Connected;
        is_connected.then(|| Self(connects(client)))
    }

    pub(crate) fn is_alive(self, client: &Client) -> bool {
        client.connection_state() == State::Connected && connects(client) == self.0
    }

    /// Waits until it is gone.
    pub(crate) async fn lost(self, client: &Client) {
        while self.is_alive(client) {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until there is one, and not for ever.
    pub(crate) async fn made(client: &Client) -> Option<Self> {
        let made = async {
            loop {
                if let Some(connection) = Self::of(client) {
                    return connection;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(ANSWER_WITHIN, made).await.ok()
    }
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Shows nothing: a URL has a password in it.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
