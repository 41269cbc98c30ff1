//! How a URL leads to its server.

use std::net::SocketAddr;

use crate::setup_error::SetupError;

/// How a URL leads to its server.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) is_socket: bool,
    pub(crate) demands_tls: bool,
    /// What the URL says to have TLS only where the server offers it.
    pub(crate) plain: &'static str,
}

impl Route<'_> {
    /// Where the server listens, for the proxy that stands in between.
    pub(crate) async fn address(&self) -> Result<SocketAddr, SetupError> {
        if self.is_socket {
            return Err(SetupError::new(
                "the URL leads to a Unix socket, and the explorer stands between as a TCP proxy: give a host and a port",
            ));
        }
        if self.demands_tls {
            return Err(SetupError::new(format!(
                "the URL demands TLS, and the explorer reads what passes between handler and server: explore a server \
                 that takes plain connections, with `{}`",
                self.plain
            )));
        }
        // A URL has an IPv6 address in brackets.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |why: String| {
            SetupError::new(format!("the host `{host}` of the URL is unknown: {why}"))
        };
        let mut addresses = tokio::net::lookup_host((host, self.port))
            .await
            .map_err(|error| unknown(error.to_string()))?;
        let first = addresses.next();
        first.ok_or_else(|| unknown("it has no address".into()))
    }
}
