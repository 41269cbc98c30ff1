//! The two sockets of one connection through a proxy.

use std::net::{Shutdown, TcpStream};

#[derive(Debug)]
pub(super) struct Ends {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
}

impl Ends {
    /// Ends the connection on both sides.
    pub(super) fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
