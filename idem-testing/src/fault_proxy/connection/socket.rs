//! One side of a connection: a socket, what came in and is not taken yet, what is to go out.

use std::io;
use std::io::ErrorKind::{Interrupted, WouldBlock};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::fault_proxy::server::Server;

/// As much as is read at once.
const PART: usize = 64 * 1024;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

#[derive(Debug)]
pub(super) struct Side {
    stream: Stream,
    incoming: Vec<u8>,
    /// How much of `incoming` has been taken.
    taken: usize,
    outgoing: Vec<u8>,
    /// How much of `outgoing` is out.
    flushed: usize,
    /// Nothing comes from the other end any more.
    gone: bool,
    /// The other end does not read any more.
    deaf: bool,
    finished: bool,
}

/// The same for each kind of socket.
macro_rules! on {
    ($stream:expr, $socket:ident => $do:expr) => {
        match $stream {
            Stream::Tcp($socket) => $do,
            #[cfg(unix)]
            Stream::Unix($socket) => $do,
        }
    };
}

impl Stream {
    pub(super) async fn connect(server: &Server) -> io::Result<Self> {
        match server {
            Server::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Server::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl Side {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            incoming: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            flushed: 0,
            gone: false,
            deaf: false,
            finished: false,
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.incoming[self.taken..]
    }

    pub(super) fn take(&mut self, length: usize) -> &[u8] {
        let from = self.taken;
        self.taken += length;
        &self.incoming[from..self.taken]
    }

    pub(super) fn discard(&mut self) {
        self.taken = self.incoming.len();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Queues bytes, unless the other end is closed.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.deaf {
            self.outgoing.extend_from_slice(bytes);
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.deaf || self.flushed == self.outgoing.len()
    }

    /// Writes what can be written now.
    pub(super) fn flush(&mut self) {
        while !self.is_flushed() {
            let left = &self.outgoing[self.flushed..];
            match on!(&self.stream, socket => socket.try_write(left)) {
                Ok(length) => self.flushed += length,
                Err(e) if e.kind() == WouldBlock => return,
                Err(e) if e.kind() == Interrupted => {}
                Err(_) => self.deaf = true,
            }
        }
        self.outgoing.clear();
        self.flushed = 0;
    }

    /// Closes this direction.
    pub(super) async fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            let _ = on!(&mut self.stream, socket => socket.shutdown().await);
        }
    }

    /// Reads what is there now; false if there is nothing.
    pub(super) fn read(&mut self) -> bool {
        self.incoming.drain(..self.taken);
        self.taken = 0;
        let held = self.incoming.len();
        self.incoming.resize(held + PART, 0);
        let part = &mut self.incoming[held..];
        let read = on!(&self.stream, socket => socket.try_read(part));
        self.incoming
            .truncate(held + read.as_ref().map_or(0, |length| *length));
        match read {
            Ok(0) => self.gone = true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), WouldBlock | Interrupted) => return false,
            Err(_) => self.gone = true,
        }
        true
    }

    pub(super) async fn readable(&self) {
        // A failure is found again by the reading.
        let _ = on!(&self.stream, socket => socket.readable().await);
    }

    pub(super) async fn writable(&self) {
        let _ = on!(&self.stream, socket => socket.writable().await);
    }
}
