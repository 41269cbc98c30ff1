//! An HTTP/1.1 server on a free port of the loopback that answers as the test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What is done with a request.
pub(crate) enum Answer {
    /// This status, with these headers.
    Status(u16, &'static str),
    /// Status 200, once the semaphore lets it.
    Held(Arc<Semaphore>),
    /// Status 200, and a body that goes on for as long as it is read.
    Endless,
    /// Status 200, and nothing of the body that its head speaks of.
    HeadAlone,
    /// The connection is closed without a word.
    Cut,
    /// Nothing, for ever.
    Silence,
}

type Answers = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// What all connections share.
struct Shared {
    answer: Box<Answers>,
    /// `None` while the server is down.
    requests: Mutex<Option<Vec<Request>>>,
    count: watch::Sender<usize>,
    connections: AtomicUsize,
}

/// Ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Server {
    /// `answer` is given each request and how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            requests: Mutex::new(Some(Vec::new())),
            count: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, shared.clone()));
        Self {
            address,
            shared,
            tasks: tokio::sync::Mutex::new(tasks),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// Refuses connections and cuts those that are open. No request is taken after it.
    pub(crate) async fn take_down(&self) {
        *self.shared.requests.lock().unwrap() = None;
        self.tasks.lock().await.shutdown().await;
    }

    /// Listens again at the same port, if it is down.
    pub(crate) async fn restart(&self) {
        {
            let mut requests = self.shared.requests.lock().unwrap();
            if requests.is_some() {
                return;
            }
            *requests = Some(Vec::new());
        }
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.tasks
            .lock()
            .await
            .spawn(listen(listener, self.shared.clone()));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone().unwrap()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until this many requests have come.
    pub(crate) async fn came(&self, count: usize) {
        let mut counts = self.shared.count.subscribe();
        let came = counts.wait_for(|came| *came >= count);
        tokio::time::timeout(std::time::Duration::from_secs(30), came)
            .await
            .expect("the requests do not come")
            .unwrap();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(BufReader::new(stream), shared.clone()));
    }
}

async fn serve(mut stream: BufReader<TcpStream>, shared: Arc<Shared>) {
    while let Some(request) = read(&mut stream).await {
        let answer = {
            let mut requests = shared.requests.lock().unwrap();
            let Some(requests) = requests.as_mut() else {
                return;
            };
            let before = requests.len();
            requests.push(request.clone());
            shared.count.send_replace(before + 1);
            (shared.answer)(&request, before)
        };
        let head = match &answer {
            Answer::Status(status, headers) => {
                format!("HTTP/1.1 {status} Answer\r\ncontent-length: 2\r\n{headers}\r\nno")
            }
            Answer::Held(semaphore) => {
                semaphore.acquire().await.unwrap().forget();
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into()
            }
            Answer::Endless | Answer::HeadAlone => {
                "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n".into()
            }
            Answer::Cut => return,
            Answer::Silence => std::future::pending().await,
        };
        let mut sent = stream.write_all(head.as_bytes()).await;
        match answer {
            Answer::Endless => {
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 16 * 1024]).await;
                }
            }
            Answer::HeadAlone => std::future::pending().await,
            _ => {}
        }
        if sent.is_err() {
            return;
        }
    }
}

/// The next request; `None` at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let line = read_line(stream).await?;
    let mut headers = HeaderMap::new();
    loop {
        let header = read_line(stream).await?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let length = headers.get("content-length");
    let length = length.map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        line,
        headers,
        body,
    })
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
