//! A proxy between sqlx and a server that knows the protocol: it counts round trips, tells what SQL is in each, and
//! injures the ones that it is told to.
//!
//! It runs on a thread and a runtime of its own, so that it works the same under any runtime of the client, a
//! paused clock included.

#![allow(dead_code, reason = "connections are not carried yet")]

mod tally;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

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

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
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
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Listens on a free loopback port and connects each client to `server`.
    ///
    /// # Errors
    ///
    /// When no port or thread can be had.
    pub fn start(protocol: Protocol, server: impl Into<Server>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let tally = Arc::new(Tally::default());
        let (_, _) = (protocol, server.into());
        let thread = thread::Builder::new()
            .name("wire".into())
            .spawn(move || drop(listener.accept()))?;
        Ok(Self {
            address,
            tally,
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
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
