//! A proxy between sqlx and a server that knows the protocol: it counts round trips, tells what SQL is in each, and
//! injures the ones that it is told to.
//!
//! It runs on a thread and a runtime of its own, so that it works the same under any runtime of the client, a
//! paused clock included. It speaks in the clear: a client that insists on TLS does not get it, and a server that insists
//! turns the client away. Passwords pass as they are.
//!
//! # What is a round trip
//!
//! What the client sends up to where the server comes to answer, and the answer to its end: a query, the messages up to a
//! Sync, a command of MySQL's, each turn of a handshake, the data of a COPY. Requests that come together, such as a queued ROLLBACK
//! and the next statement, are each one. A farewell, a closed statement and a cancel request are none. The pool's pings are: it sends one when it
//! gives a connection out and one, in a task of its own, when it takes one back.
//!
//! # What a cut leaves
//!
//! The client's end is closed at once. The server's session ends in order once the server has answered what it was sent: the transaction that is
//! open is rolled back before the connection closes. That is what a server does by itself, but MariaDB does it after it has closed the
//! connection, and PostgreSQL behind a pooler after the pooler has: [`Wire::settle`] could not tell when it is done.
//!
//! # What a refusal leaves
//!
//! The statement that is refused is replaced by one that raises the error, so that the state is the server's own. What stands before it in
//! the same batch is executed; if that fails by itself, its error is passed on and the injury has not happened.
//!
//! On PostgreSQL (40001 or 40P01):
//!
//! | request | transaction before | what the server executes | transaction after |
//! |---|---|---|---|
//! | a statement: as text, prepared, being prepared | none | the error | none |
//! | | open | the error | aborted |
//! | `BEGIN` | none | the error | none |
//! | `BEGIN; work` | none | `BEGIN`, the error | aborted |
//! | `COMMIT` | open | the error, `ROLLBACK` | none |
//! | `work; COMMIT`, deadlock | open | the error | aborted |
//! | `work; COMMIT`, serialization failure | open | `work`, the error, `ROLLBACK` | none |
//! | `ROLLBACK; work` | any | `ROLLBACK`, the error | none |
//! | anything else | aborted | the request itself: it fails, or rolls back | |
//!
//! On MySQL and MariaDB (1213 for both): what stands before the statement, the error, and a `ROLLBACK` of the whole transaction, as the
//! server does it. `autocommit` and variables stay as they were set.
//!
//! A deadlock strikes the first statement that reads or writes; a serialization failure strikes COMMIT, else the last such
//! statement. A ROLLBACK, a ping, a handshake and the data of a COPY are never refused: they pass, and the injury does not happen.

mod codec;
mod link;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod refusal;
mod step;
mod tally;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;

use self::codec::Codec;
pub use self::step::{Injury, Refusal, Step, StepKind};
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
        let tally = Arc::new(Tally::default());
        let (running, ended) = oneshot::channel();
        let (started, starting) = mpsc::sync_channel(1);
        let accepting = accept(listener, protocol, server.into(), Arc::clone(&tally));
        let thread = thread::Builder::new()
            .name("wire".into())
            .stack_size(STACK)
            .spawn(move || {
                // Here, where it may also end: not on a thread of the client's runtime.
                match runtime::Builder::new_current_thread().enable_io().build() {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        // The tasks of the connections end with it.
                        runtime.block_on(async {
                            tokio::select! {
                                _ = ended => {}
                                () = accepting => {}
                            }
                        });
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
        starting.recv().unwrap_or_else(|_| {
            Err(io::Error::other("the proxy's thread ended before it began"))
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
    ///
    /// It blocks the thread, on which the client's own tasks can't run meanwhile: close a pool before.
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
