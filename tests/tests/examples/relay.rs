//! The relay as a process, with a real endpoint.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use idem_runtime::{Event, EventId, Outbox, outbox};
use idem_tests::server;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

use crate::program::{program, run};

#[derive(Serialize, Event)]
#[event(topic = "orders.placed", key = "id")]
struct Placed {
    id: u32,
}

#[outbox(scope = "orders.place")]
async fn place(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Placed>,
    id: u32,
) -> Result<EventId, sqlx::Error> {
    let _: &mut PgConnection = tx;
    Ok(outbox.emit(&Placed { id }))
}

/// An endpoint that takes everything once it is up, and sends on which IDs it took.
fn serve(is_up: &Arc<AtomicBool>, taken: &Sender<String>) -> SocketAddr {
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap();
    let (is_up, taken) = (is_up.clone(), taken.clone());
    thread::spawn(move || {
        for stream in endpoint.incoming() {
            let (is_up, taken) = (is_up.clone(), taken.clone());
            thread::spawn(move || answer(&stream.unwrap(), &is_up, &taken));
        }
    });
    address
}

/// Answers each request on a connection.
fn answer(stream: &TcpStream, is_up: &AtomicBool, taken: &Sender<String>) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match &*name.to_lowercase() {
                "ce-id" => value.clone_into(&mut id),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        let status = if is_up.load(Ordering::SeqCst) {
            taken.send(id).ok()?;
            "204 No Content"
        } else {
            "503 Service Unavailable"
        };
        let mut stream = stream;
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

struct Running(Child);

impl Running {
    fn start(database: &str, endpoint: SocketAddr) -> Self {
        let mut command = program("relay");
        command
            .arg(format!("http://{endpoint}/inbox"))
            .env("DATABASE_URL", database)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until it has logged this.
    fn logs(&mut self, text: &str) {
        let log = BufReader::new(self.0.stderr.as_mut().unwrap());
        let mut seen = String::new();
        for line in log.lines() {
            seen += &line.unwrap();
            if seen.contains(text) {
                return;
            }
        }
        panic!("it has ended: {seen}");
    }

    /// By SIGTERM; its last line.
    fn stop(mut self) -> String {
        let pid = self.0.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.unwrap().success());
        let mut said = String::new();
        let out = self.0.stdout.as_mut().unwrap();
        out.read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success());
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn next(taken: &Receiver<String>) -> String {
    taken.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn events_arrive_at_the_endpoint_once_it_is_up() {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    let first = place(&pool, 1).await.unwrap();
    let is_up = Arc::new(AtomicBool::new(false));
    let (send, taken) = channel();
    let mut relay = Running::start(database.url(), serve(&is_up, &send));
    relay.logs("the receiver takes nothing now");
    is_up.store(true, Ordering::SeqCst);
    assert_eq!(next(&taken), first.to_string());
    let second = place(&pool, 2).await.unwrap();
    assert_eq!(next(&taken), second.to_string());
    assert_eq!(relay.stop(), "2 published, 0 given up\n");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let empty = server::postgres().database().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let nobody = format!("postgres://nobody:secret@{}/shop", closed.unwrap());
    let endpoint = "http://127.0.0.1:1/";
    for (arguments, database, reason) in [
        (&[][..], None, "usage: relay ENDPOINT"),
        (
            &["events.example.com"],
            None,
            "not the URL of an HTTP endpoint",
        ),
        (&[endpoint], None, "set DATABASE_URL"),
        (
            &[endpoint],
            Some("mysql://me:secret@localhost/shop"),
            "not PostgreSQL's",
        ),
        (
            &[endpoint],
            Some("postgres://me:secret@localhost:x/shop"),
            "set DATABASE_URL",
        ),
        (
            &[endpoint],
            Some(&*nobody),
            "can't connect to PostgreSQL, 127.0.0.1:",
        ),
        (&[endpoint], Some(empty.url()), "idem_runtime::migrate"),
    ] {
        let mut command = program("relay");
        command.args(arguments).env_remove("DATABASE_URL");
        if let Some(database) = database {
            command.env("DATABASE_URL", database);
        }
        let ran = run(&mut command);
        assert!(!ran.succeeded, "{ran:?}");
        assert!(ran.stderr.contains(reason), "{reason}: {ran:?}");
        assert!(!ran.stderr.contains("secret"), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
}
