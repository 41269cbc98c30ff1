//! One connection through the proxy.
//!
//! Requests go to the server one after the other, each when the reply to the one before it is
//! complete, so that what happens to one can't touch another.

mod reply;
mod socket;

use std::sync::Arc;

use tokio::net::TcpStream;

use self::reply::Reply;
use self::socket::{Side, Stream};
use super::codec::{
    ClientMessage, Codec, ProtocolError, Request, ServerMessage, SessionEnd, Substitute,
};
use super::server::Server;
use super::state::ProxyState;
use super::step::{ProxyFault, Step};

pub(super) struct ProxyConnection {
    number: u32,
    state: Arc<ProxyState>,
    codec: Box<dyn Codec>,
    client: Side,
    server: Side,
    /// Nothing more is taken from the client, and its end is closed when all that is meant for it
    /// is sent.
    cut: bool,
}

/// Serves a client until both sides are closed.
pub(super) async fn carry(
    client: TcpStream,
    number: u32,
    server: &Server,
    codec: Box<dyn Codec>,
    state: Arc<ProxyState>,
) {
    match Stream::connect(server).await {
        Ok(stream) => {
            let connection = ProxyConnection {
                number,
                state,
                codec,
                client: Side::new(Stream::Tcp(client)),
                server: Side::new(stream),
                cut: false,
            };
            connection.run().await;
        }
        // Shows as a connection that ends at once.
        Err(error) => {
            state.report(format!("the proxy can't connect to {server}: {error}"));
            state.leave(number);
        }
    }
}

impl ProxyConnection {
    async fn run(mut self) {
        let served = self.serve().await;
        if let Err(error) = served {
            self.state
                .report(format!("the proxy closed a connection: {error}"));
        }
        self.close(served.is_ok()).await;
    }

    /// Until the client leaves, or the connection is to be cut.
    async fn serve(&mut self) -> Result<(), ProtocolError> {
        while let Some(sent) = self.next_sent().await? {
            match sent {
                ClientMessage::Part => {}
                ClientMessage::Unanswered(bytes) => self.server.write(&bytes),
                ClientMessage::AnsweredHere(bytes) => self.client.write(bytes),
                ClientMessage::Terminate => break,
                ClientMessage::Request(request) => {
                    if !self.round_trip(&request).await? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn next_sent(&mut self) -> Result<Option<ClientMessage>, ProtocolError> {
        loop {
            self.pass_unasked()?;
            if let Some((length, sent)) = self.codec.sent(self.client.unread())? {
                self.client.take(length);
                return Ok(Some(sent));
            }
            if self.client.is_gone() || self.server.is_gone() {
                return Ok(None);
            }
            self.flush();
            if self.server.is_flushed() {
                self.state.idle(self.number);
            }
            self.pump().await;
        }
    }

    /// Passes what a server sends by itself, such as its greeting, a notice, or that it shuts down.
    fn pass_unasked(&mut self) -> Result<(), ProtocolError> {
        while let Some((length, received)) = self.codec.received(self.server.unread())? {
            self.pass(length, &received);
        }
        Ok(())
    }

    fn pass(&mut self, length: usize, received: &ServerMessage) {
        let bytes = self.server.take(length);
        match received {
            ServerMessage::Edited(edited) => self.client.write(edited),
            ServerMessage::Message | ServerMessage::Last => self.client.write(bytes),
        }
    }

    /// False when the connection has come to its end.
    async fn round_trip(&mut self, request: &Request) -> Result<bool, ProtocolError> {
        let due = self.state.step(Step {
            connection: self.number,
            sql: request.sql.clone(),
            kind: request.kind,
        });
        let Some(due) = due else {
            return self.pass_reply(request).await;
        };
        match due.fault {
            ProxyFault::CutRequest => {
                self.state.happens(due);
                Ok(false)
            }
            ProxyFault::Hold => {
                self.state.happens(due);
                while !self.client.is_gone() {
                    self.pump().await;
                }
                Ok(false)
            }
            ProxyFault::CutReply => {
                self.reply(request).await?;
                self.state.happens(due);
                Ok(false)
            }
            ProxyFault::TruncateReply => {
                let reply = self.reply(request).await?;
                self.state.happens(due);
                self.client.write(reply.half());
                Ok(false)
            }
            ProxyFault::Fail(error) => match self.codec.substitute(request, error) {
                None => self.pass_reply(request).await,
                Some(substitute) => {
                    let (reply, happened) = self.failed_reply(&substitute).await?;
                    if happened {
                        self.state.happens(due);
                    }
                    self.client.write(&reply.bytes);
                    Ok(!self.server.is_gone())
                }
            },
        }
    }

    /// The reply to a request that is made to fail, and whether it failed with that error.
    async fn failed_reply(
        &mut self,
        substitute: &Substitute,
    ) -> Result<(Reply, bool), ProtocolError> {
        let mut reply = self.reply(&substitute.instead).await?;
        let happened = self.codec.sqlstate() == Some(substitute.sqlstate);
        if happened && let Some(undo) = &substitute.undo {
            let undone = self.reply(undo).await?;
            reply.end_as(&undone, self.codec.tail());
        }
        Ok((reply, happened))
    }

    /// Sends a request on and passes the reply back as it comes.
    async fn pass_reply(&mut self, request: &Request) -> Result<bool, ProtocolError> {
        self.ask(request);
        loop {
            while let Some((length, received)) = self.codec.received(self.server.unread())? {
                self.pass(length, &received);
                if received == ServerMessage::Last {
                    return Ok(true);
                }
            }
            if self.server.is_gone() {
                return Ok(false);
            }
            self.pump().await;
        }
    }

    /// Sends a request on and keeps the reply, or what there is of it when the server goes away.
    async fn reply(&mut self, request: &Request) -> Result<Reply, ProtocolError> {
        let mut reply = Reply::default();
        self.ask(request);
        loop {
            while let Some((length, received)) = self.codec.received(self.server.unread())? {
                reply.add(self.server.take(length));
                if received == ServerMessage::Last {
                    return Ok(reply);
                }
            }
            if self.server.is_gone() {
                return Ok(reply);
            }
            self.pump().await;
        }
    }

    fn ask(&mut self, request: &Request) {
        self.codec.expect(request);
        self.server.write(&request.bytes);
    }

    /// Ends the connection on both sides. Afterwards the server's session is over.
    async fn close(mut self, in_order: bool) {
        self.cut = true;
        if in_order {
            let SessionEnd { reset, terminate } = self.codec.session_end();
            if let Some(reset) = reset {
                // A session that can't be reset ends with its connection, at the latest.
                let _ = self.reply(&reset).await;
            }
            self.server.write(&terminate);
        }
        while !self.server.is_flushed() {
            self.flush();
            self.pump().await;
        }
        self.server.finish().await;
        while !self.server.is_gone() {
            self.pump().await;
        }
        self.state.leave(self.number);
        while !self.client.is_flushed() {
            self.pump().await;
        }
        self.client.finish().await;
    }

    fn flush(&mut self) {
        self.client.flush();
        self.server.flush();
    }

    /// Moves what can be moved, or waits until something can.
    async fn pump(&mut self) {
        self.flush();
        if self.cut && self.client.is_flushed() {
            self.client.finish().await;
        }
        tokio::select! {
            () = self.client.readable(), if !self.client.is_gone() => {
                let client = &mut self.client;
                self.state.read(self.number, || client.read());
                if self.cut {
                    client.discard();
                }
            }
            () = self.server.readable(), if !self.server.is_gone() => {
                self.server.read();
            }
            () = self.client.writable(), if !self.client.is_flushed() => {}
            () = self.server.writable(), if !self.server.is_flushed() => {}
            else => {}
        }
    }
}
