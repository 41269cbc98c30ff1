//! One connection through a proxy: a reading and a writing thread for each direction.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::ends::Ends;
use super::traffic::{Action, Loss, Shared};

/// Parts held back in one direction; a sender that is faster waits.
const IN_FLIGHT: usize = 1024;

#[derive(Debug)]
pub(super) struct Link {
    ends: Arc<Ends>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The client has sent something that the server has not begun to answer.
    in_request: bool,
    losing_reply: Option<Loss>,
}

type Part = (Instant, Vec<u8>);

impl Link {
    pub(super) fn start(
        client: TcpStream,
        server: TcpStream,
        shared: &Arc<Shared>,
    ) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let link = Arc::new(Self {
            ends: Arc::new(Ends { client, server }),
            progress: Mutex::default(),
        });
        shared.add(&link.ends);
        if shared.is_closed() {
            link.ends.cut();
        }
        let (to_server, for_server) = sync_channel(IN_FLIGHT);
        let (to_client, for_client) = sync_channel(IN_FLIGHT);
        spawn(&link, shared, move |link, shared| {
            link.read_client(shared, &to_server);
        })?;
        spawn(&link, shared, move |link, _| {
            link.write(&link.ends.server, for_server);
        })?;
        spawn(&link, shared, move |link, shared| {
            link.read_server(shared, &to_client);
        })?;
        spawn(&link, shared, move |link, _| {
            link.write(&link.ends.client, for_client);
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_client(&self, shared: &Shared, to_server: &SyncSender<Part>) {
        for_each_part(&self.ends.client, |bytes| {
            let mut progress = self.progress();
            let starts = !progress.in_request;
            progress.in_request = true;
            match shared.count_to_server(bytes, starts) {
                Some(loss) if loss.action == Action::LoseRequest => {
                    loss.happens();
                    self.ends.cut();
                    return false;
                }
                Some(loss) => progress.losing_reply = Some(loss),
                None => {}
            }
            drop(progress);
            to_server
                .send((Instant::now() + shared.delay(), bytes.to_vec()))
                .is_ok()
        });
    }

    fn read_server(&self, shared: &Shared, to_client: &SyncSender<Part>) {
        for_each_part(&self.ends.server, |bytes| {
            let mut progress = self.progress();
            progress.in_request = false;
            shared.count_to_client(bytes.len());
            if let Some(loss) = &progress.losing_reply {
                loss.happens();
                if loss.action == Action::SwallowReply {
                    return true;
                }
                let _ = self.ends.client.shutdown(Shutdown::Both);
                // Not cut: the server may have more to answer before it looks for the next request,
                // and must not fail in between. It then finds the end of the connection.
                let _ = self.ends.server.shutdown(Shutdown::Write);
                return true;
            }
            drop(progress);
            to_client
                .send((Instant::now() + shared.delay(), bytes.to_vec()))
                .is_ok()
        });
    }

    fn write(&self, mut to: &TcpStream, parts: Receiver<Part>) {
        for (due, bytes) in parts {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                // Unless the reply is being lost, the other side must learn of it, too.
                if self.progress().losing_reply.is_none() {
                    self.ends.cut();
                }
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn spawn(
    link: &Arc<Link>,
    shared: &Arc<Shared>,
    run: impl FnOnce(&Link, &Shared) + Send + 'static,
) -> io::Result<()> {
    let (link, shared) = (Arc::clone(link), Arc::clone(shared));
    thread::Builder::new()
        .name("proxy link".into())
        .stack_size(128 * 1024)
        .spawn(move || run(&link, &shared))
        .map(drop)
}

/// Reads until the end, or until `forward` is false.
fn for_each_part(mut from: &TcpStream, mut forward: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if forward(&buffer[..n]) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return,
        }
    }
}
