//! One connection through the proxy.
//!
//! Requests go to the server one after the other, each when the reply to the one before it is complete, so that what
//! happens to one can't touch another.

mod reply;
mod socket;

use std::sync::Arc;

use tokio::net::TcpStream;

use self::reply::Reply;
use self::socket::{Side, Stream};
use super::codec::{Codec, Farewell, Received, Refused, Request, Sent, Violation};
use super::tally::Tally;
use super::{Injury, Server, Step};

pub(super) struct Link {
    number: u32,
    tally: Arc<Tally>,
    codec: Box<dyn Codec>,
    client: Side,
    server: Side,
    /// Nothing more is taken from the client, and it learns so when all that is meant for it is out.
    cut: bool,
}

/// Serves a client until both sides are closed.
pub(super) async fn carry(
    client: TcpStream,
    number: u32,
    server: &Server,
    codec: Box<dyn Codec>,
    tally: Arc<Tally>,
) {
    match Stream::connect(server).await {
        Ok(stream) => {
            let link = Link {
                number,
                tally,
                codec,
                client: Side::new(Stream::Tcp(client)),
                server: Side::new(stream),
                cut: false,
            };
            link.run().await;
        }
        // Shows as a connection that ends at once.
        Err(error) => {
            tally.report(format!("the proxy can't connect to {server}: {error}"));
            tally.leave(number);
        }
    }
}

impl Link {
    async fn run(mut self) {
        let served = self.serve().await;
        if let Err(violation) = served {
            self.tally
                .report(format!("the proxy closed a connection: {violation}"));
        }
        self.close(served.is_ok()).await;
    }

    /// Until the client leaves, or the connection is to be cut.
    async fn serve(&mut self) -> Result<(), Violation> {
        while let Some(sent) = self.next_sent().await? {
            match sent {
                Sent::Part => {}
                Sent::Aside(bytes) => self.server.write(&bytes),
                Sent::Answered(bytes) => self.client.write(bytes),
                Sent::Leave => break,
                Sent::Request(request) => {
                    if !self.round_trip(&request).await? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn next_sent(&mut self) -> Result<Option<Sent>, Violation> {
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
                self.tally.rest(self.number);
            }
            self.pump().await;
        }
    }

    /// What a server says by itself, such as its greeting, a notice, or that it shuts down.
    fn pass_unasked(&mut self) -> Result<(), Violation> {
        while let Some((length, received)) = self.codec.received(self.server.unread())? {
            self.pass(length, &received);
        }
        Ok(())
    }

    fn pass(&mut self, length: usize, received: &Received) {
        let bytes = self.server.take(length);
        match received {
            Received::Edited(edited) => self.client.write(edited),
            Received::Message | Received::Last => self.client.write(bytes),
        }
    }

    /// False when the connection has come to its end.
    async fn round_trip(&mut self, request: &Request) -> Result<bool, Violation> {
        let due = self.tally.step(Step {
            connection: self.number,
            sql: request.sql.clone(),
            kind: request.kind,
        });
        let Some(due) = due else {
            return self.pass_reply(request).await;
        };
        match due.injury {
            Injury::CutRequest => {
                self.tally.happens(due);
                Ok(false)
            }
            Injury::Hold => {
                self.tally.happens(due);
                while !self.client.is_gone() {
                    self.pump().await;
                }
                Ok(false)
            }
            Injury::CutReply => {
                self.reply(request).await?;
                self.tally.happens(due);
                Ok(false)
            }
            Injury::TruncateReply => {
                let reply = self.reply(request).await?;
                self.tally.happens(due);
                self.client.write(reply.half());
                Ok(false)
            }
            Injury::Refuse(refusal) => match self.codec.refuse(request, refusal) {
                None => self.pass_reply(request).await,
                Some(refused) => {
                    let (reply, happened) = self.refused(&refused).await?;
                    if happened {
                        self.tally.happens(due);
                    }
                    self.client.write(&reply.bytes);
                    Ok(!self.server.is_gone())
                }
            },
        }
    }

    /// The reply to a refused request, and whether the refusal is why it failed.
    async fn refused(&mut self, refused: &Refused) -> Result<(Reply, bool), Violation> {
        let mut reply = self.reply(&refused.instead).await?;
        let happened = self.codec.sqlstate() == Some(refused.sqlstate);
        if happened && let Some(undo) = &refused.undo {
            let undone = self.reply(undo).await?;
            reply.end_as(&undone, self.codec.tail());
        }
        Ok((reply, happened))
    }

    /// Sends a request on and passes the reply back as it comes.
    async fn pass_reply(&mut self, request: &Request) -> Result<bool, Violation> {
        self.ask(request);
        loop {
            while let Some((length, received)) = self.codec.received(self.server.unread())? {
                self.pass(length, &received);
                if received == Received::Last {
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
    async fn reply(&mut self, request: &Request) -> Result<Reply, Violation> {
        let mut reply = Reply::default();
        self.ask(request);
        loop {
            while let Some((length, received)) = self.codec.received(self.server.unread())? {
                reply.add(self.server.take(length));
                if received == Received::Last {
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

    /// Ends the connection on both sides. The server's session is over when it is at rest.
    async fn close(mut self, in_order: bool) {
        self.cut = true;
        if in_order {
            let Farewell { reset, leave } = self.codec.farewell();
            if let Some(reset) = reset {
                // A session that can't be reset ends with its connection, at the latest.
                let _ = self.reply(&reset).await;
            }
            self.server.write(&leave);
        }
        while !self.server.is_flushed() {
            self.flush();
            self.pump().await;
        }
        self.server.finish().await;
        while !self.server.is_gone() {
            self.pump().await;
        }
        self.tally.leave(self.number);
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
                self.tally.read(self.number, || client.read());
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
