//! A proxy between sqlx and a server that knows the protocol: it counts round trips, tells what SQL is in each, and
//! injures the ones that it is told to.
//!
//! It runs on a thread and a runtime of its own, so that it works the same under any runtime of the client, a
//! paused clock included.

mod codec;
mod link;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod refusal;
mod tally;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;

use self::codec::Codec;
use self::tally::Tally;

/// Which protocol passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL's, version 3.
    #[cfg(feature = "postgres")]
    Postgres,
    /// MySQL's and MariaDB's.
    #[cfg(feature = "mysql")]
    MySql,
}

impl Protocol {
    fn codec(self) -> Box<dyn Codec> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => Box::new(postgres::Postgres::default()),
            #[cfg(feature = "mysql")]
            Self::MySql => Box::new(mysql::MySql::default()),
        }
    }
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// What is done to one round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injury {
    /// The connection is cut before the request reaches the server.
    CutRequest,
    /// The server executes the request to its end; then the connection is cut, and nothing of the reply is passed on.
    CutReply,
    /// About half of the reply is passed on, never all of it, then the connection is cut. The server finishes first.
    TruncateReply,
    /// The server fails the request, the client is told so, and the connection lives on.
    Refuse(Refusal),
}

/// Why a server refuses what it could do at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another transaction came first.
    SerializationFailure,
    /// Two transactions waited for each other.
    Deadlock,
}

/// One round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which connection, counted from 1 over the life of the proxy.
    pub connection: u32,
    /// The SQL that it prepares or runs; `None` where there is none.
    pub sql: Option<String>,
    /// What it is for.
    pub kind: StepKind,
}

/// What a round trip is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Greeting, authentication.
    Handshake,
    /// A statement is prepared, and not run.
    Prepare,
    /// A prepared statement is run.
    Execute,
    /// SQL is run as text.
    Query,
    /// Whether the connection is alive.
    Ping,
    /// Anything else.
    Other,
}

/// A listening proxy. Dropping it cuts every connection through it.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    tally: Arc<Tally>,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Plenty: no task goes deep.
const STACK: usize = 512 * 1024;

impl Wire {
    /// Listens on a free loopback port and connects each client to `server`.
    ///
    /// # Errors
    ///
    /// When no port or thread can be had.
    pub fn start(protocol: Protocol, server: impl Into<Server>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let tally = Arc::new(Tally::default());
        let (running, ended) = oneshot::channel();
        let accepting = accept(listener, protocol, server.into(), Arc::clone(&tally));
        let thread = thread::Builder::new()
            .name("wire".into())
            .stack_size(STACK)
            .spawn(move || {
                // The tasks of the connections end with their runtime, here.
                runtime.block_on(async {
                    tokio::select! {
                        _ = ended => {}
                        () = accepting => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            tally,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// Where clients connect, in the clear.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was counted and armed, and counts from here: the next round trip is 1, over all connections
    /// together. With no injury it only counts and records. After an injury has happened counting goes on.
    pub fn arm(&self, injuries: &[(u64, Injury)]) {
        self.tally.arm(injuries);
    }

    /// Stops counting and injuring. What was counted stays.
    pub fn disarm(&self) {
        self.tally.disarm();
    }

    /// The round trips since [`arm`](Self::arm), oldest first.
    pub fn steps(&self) -> Vec<Step> {
        self.tally.steps()
    }

    /// How many round trips there were since [`arm`](Self::arm).
    pub fn count(&self) -> u64 {
        self.tally.count()
    }

    /// How many of the armed injuries have happened.
    pub fn injured(&self) -> usize {
        self.tally.injured()
    }

    /// Why a connection could not be served since [`arm`](Self::arm): the server did not answer, or what passed was not
    /// the protocol. Such an end is the proxy's, not an injury.
    pub fn trouble(&self) -> Option<String> {
        self.tally.trouble()
    }

    /// Waits until no request is without its reply, and every connection that was cut or that its client has left is closed by
    /// the server: what is in the database then stays. False when that has not come `within` the time.
    pub fn settle(&self, within: Duration) -> bool {
        self.tally.settle(within)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    protocol: Protocol,
    server: Server,
    tally: Arc<Tally>,
) {
    let server = Arc::new(server);
    let accepted = async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, number) = admit(&listener, &tally).await?;
            let (server, tally) = (Arc::clone(&server), Arc::clone(&tally));
            tokio::spawn(async move {
                link::carry(client, number, &server, protocol.codec(), tally).await;
            });
        }
    };
    let end: io::Result<()> = accepted.await;
    if let Err(error) = end {
        tally.report(format!("the proxy takes no more connections: {error}"));
    }
    // The connections that there are go on.
    std::future::pending::<()>().await;
}

async fn admit(listener: &TcpListener, tally: &Tally) -> io::Result<(TcpStream, u32)> {
    let (client, _) = loop {
        match listener.accept().await {
            // That client is gone already.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            other => break other?,
        }
    };
    // It fails for a client that is gone, and then does not matter.
    let _ = client.set_nodelay(true);
    let client = client.into_std()?;
    let number = tally.enter(client.try_clone()?);
    Ok((TcpStream::from_std(client)?, number))
}
