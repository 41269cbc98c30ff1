//! A TCP proxy between a client and a server, to delay, count and lose what passes.
//!
//! It knows no protocol. A *request* is what a client sends between two replies of the server: with
//! a client that waits for each reply, as sqlx does, one request is one round trip.
//!
//! It runs on threads of its own, so that it works the same under any runtime, a paused clock
//! included, and delays to a tenth of a millisecond.

mod ends;
mod link;
mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::link::Link;
use self::traffic::{Action, Shared};
pub use self::traffic::{Lost, Traffic, When};

/// A listening proxy. Dropping it cuts every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free loopback port and connects each client to `server`.
    ///
    /// # Errors
    ///
    /// When no port or thread can be had.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = thread::Builder::new().name("proxy".into()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, server, &shared)
        })?;
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds back everything that passes from now on, for `each_way` in each direction.
    pub fn delay(&self, each_way: Duration) {
        self.shared.set_delay(each_way);
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic()
    }

    /// Cuts every open connection, on both sides. New ones are still accepted.
    pub fn cut_all(&self) {
        self.shared.cut_all();
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse(refuse);
    }

    /// Cuts the connection that sends a certain request, before the request reaches the server.
    pub fn lose_request(&self, when: When<'_>) -> Lost {
        self.shared.arm(Action::LoseRequest, when)
    }

    /// Forwards a certain request and cuts its connection once the server answers, instead of
    /// passing the reply on: what is lost of a COMMIT is the knowledge of it. The server gets to
    /// the end of the request.
    pub fn lose_reply(&self, when: When<'_>) -> Lost {
        self.shared.arm(Action::LoseReply, when)
    }

    /// Forwards a certain request and keeps the server's reply, and all later ones of this
    /// connection, to itself. The connection stays open: the client waits.
    pub fn swallow_reply(&self, when: When<'_>) -> Lost {
        self.shared.arm(Action::SwallowReply, when)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.close();
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_closed() {
            break;
        }
        let Ok(client) = client else { continue };
        if shared.refuses() {
            continue;
        }
        // A server that is down shows as a connection that ends at once.
        if let Ok(server) = TcpStream::connect(server) {
            let _ = Link::start(client, server, shared);
        }
    }
}
