//! What stands between a consumer and its database, to make an outage.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A TCP proxy that can be shut: then every connection through it is cut, and new ones are closed
/// at once.
#[derive(Debug)]
pub(super) struct Gate {
    address: SocketAddr,
    is_shut: Arc<watch::Sender<bool>>,
    accepting: AbortHandle,
}

impl Gate {
    /// An open one, in front of the server at `host:port`.
    pub(super) async fn before(server: String) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let is_shut = Arc::new(watch::Sender::new(false));
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&is_shut)));
        Ok(Self {
            address,
            is_shut,
            accepting: accepting.abort_handle(),
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn shut(&self, shut: bool) {
        self.is_shut.send_replace(shut);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, is_shut: Arc<watch::Sender<bool>>) {
    // Dropped with this task, and with them what is in them.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if *is_shut.borrow() {
            continue;
        }
        connections.spawn(pass(client, server.clone(), is_shut.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, server: String, mut is_shut: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        // A connection that breaks ends both of its sides.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_shut.wait_for(|shut| *shut) => {}
    }
}
