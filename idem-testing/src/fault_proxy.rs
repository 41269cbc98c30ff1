//! A proxy between sqlx and a server that understands the protocol. It counts round trips, shows
//! the SQL of each, and injects faults into some of them.
//!
//! It runs on a thread and a runtime of its own, so it works under any runtime of the client, also
//! with a paused clock. It speaks plain text: a client that insists on TLS gets none, and a server
//! that insists turns the client away. Passwords pass unchanged.
//!
//! # What is a round trip
//!
//! Everything that the client sends until the server has to answer, and the whole answer: a query,
//! the messages up to a Sync, a command of MySQL, each turn of a handshake, the data of a COPY.
//! Requests that come together, such as a queued ROLLBACK and the next statement, are one round
//! trip each. Terminate, Close and `CancelRequest` are not counted. Pings of the pool are: it sends
//! one when it hands out a connection, and one, from a task of its own, when it takes one back.
//!
//! # What a cut leaves
//!
//! The client's end is closed at once. The server's session ends in order after the server has
//! answered what it was sent: the open transaction is rolled back before the connection closes. A
//! server does that by itself, but MariaDB does it after it has closed the connection, and
//! PostgreSQL behind a pooler after the pooler has, so [`FaultProxy::settle`] could not tell when
//! it is done.
//!
//! # What an injected error leaves
//!
//! The statement that is to fail is replaced by one that raises the error, so the state afterwards
//! is the server's own. What comes before it in the same batch is executed. If that fails by
//! itself, its error is passed on, and the fault has not happened.
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
//! On MySQL and MariaDB (1213 for both): what comes before the statement, the error, and a
//! `ROLLBACK` of the whole transaction, as the server does it. `autocommit` and variables stay as
//! they were set.
//!
//! A deadlock fails the first statement that reads or writes. A serialization failure fails COMMIT,
//! or else the last such statement. A ROLLBACK, a ping, a handshake and the data of a COPY never
//! fail: they pass, and the fault does not happen.

mod codec;
mod connection;
mod failing_statement;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
pub(crate) mod server;
mod sql_batch;
mod state;
pub(crate) mod step;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;

use self::codec::Codec;
use self::server::Server;
use self::state::ProxyState;
use self::step::{ProxyFault, Step};

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

/// A listening proxy. Dropping it cuts every connection through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Plenty: no task goes deep.
const STACK: usize = 512 * 1024;

impl FaultProxy {
    /// Listens on a free loopback port and connects each client to `server`.
    ///
    /// # Errors
    ///
    /// If there is no free port, or no thread can be started.
    pub fn start(protocol: Protocol, server: impl Into<Server>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(ProxyState::default());
        let (running, ended) = oneshot::channel();
        let (started, starting) = mpsc::sync_channel(1);
        let accepting = accept(listener, protocol, server.into(), Arc::clone(&state));
        let thread = thread::Builder::new()
            .name("fault-proxy".into())
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
            state,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// Where clients connect, without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was counted and armed, and counts from here: the next round trip is 1, over all
    /// connections together. Without a fault it only counts and records. After a fault has happened
    /// counting goes on.
    pub fn arm(&self, faults: &[(u64, ProxyFault)]) {
        self.state.arm(faults);
    }

    /// After [`arm`](Self::arm) with one fault: injects it again, at most this number of times,
    /// into each later statement that is the same by `identity`.
    pub fn repeat(&self, times: u32, identity: fn(&str) -> String) {
        self.state.repeat(times, identity);
    }

    /// Stops counting and injecting. What was counted stays.
    pub fn disarm(&self) {
        self.state.disarm();
    }

    /// The round trips since [`arm`](Self::arm), oldest first.
    pub fn steps(&self) -> Vec<Step> {
        self.state.steps()
    }

    /// How many round trips there were since [`arm`](Self::arm).
    pub fn count(&self) -> u64 {
        self.state.count()
    }

    /// How many of the armed faults have happened.
    pub fn injected(&self) -> usize {
        self.state.injected()
    }

    /// Why a connection could not be served since [`arm`](Self::arm): the server did not answer, or
    /// what passed was not the protocol. Such an end is an error of the proxy, not an injected
    /// fault.
    pub fn error(&self) -> Option<String> {
        self.state.error()
    }

    /// Waits until every request has its reply, and the server has closed every connection that was
    /// cut or that its client has left: what is in the database then stays. False if that takes
    /// longer than `within`.
    ///
    /// It blocks the thread, so tasks of the client can't run there meanwhile: close a pool before.
    pub fn settle(&self, within: Duration) -> bool {
        self.state.settle(within)
    }
}

impl Drop for FaultProxy {
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
    state: Arc<ProxyState>,
) {
    let server = Arc::new(server);
    let accepted = async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, number) = admit(&listener, &state).await?;
            let (server, state) = (Arc::clone(&server), Arc::clone(&state));
            tokio::spawn(async move {
                connection::carry(client, number, &server, protocol.codec(), state).await;
            });
        }
    };
    let end: io::Result<()> = accepted.await;
    if let Err(error) = end {
        state.report(format!("the proxy takes no more connections: {error}"));
    }
    // The connections that there are go on.
    std::future::pending::<()>().await;
}

async fn admit(listener: &TcpListener, state: &ProxyState) -> io::Result<(TcpStream, u32)> {
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
    let number = state.enter(client.try_clone()?);
    Ok((TcpStream::from_std(client)?, number))
}
