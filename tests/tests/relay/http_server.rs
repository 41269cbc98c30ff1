//! An HTTP/1.1 server on a free port of the loopback that answers as the test says.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&header.1)
    }
}

/// What is done with a request.
pub(crate) enum Answer {
    /// This status, with these headers.
    Status(u16, &'static str),
    /// Status 200, and a body that goes on for as long as it is read.
    Endless,
    /// The connection is closed without a word.
    Cut,
    /// Nothing, for ever.
    Silence,
}

type Requests = Arc<Mutex<Vec<Request>>>;

/// Ends when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Requests,
    _tasks: JoinSet<()>,
}

impl Server {
    /// `answer` is given each request and how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let requests = Requests::default();
        let (noted, answer) = (requests.clone(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, answer) = (noted.clone(), answer.clone());
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read(&mut stream).await {
                        let before = {
                            let mut noted = noted.lock().unwrap();
                            noted.push(request.clone());
                            noted.len() - 1
                        };
                        match answer(&request, before) {
                            Answer::Status(status, headers) => {
                                let head = format!(
                                    "HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n{headers}\r\nno"
                                );
                                if stream.write_all(head.as_bytes()).await.is_err() {
                                    break;
                                }
                            }
                            Answer::Endless => {
                                let head =
                                    "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
                                let mut sent = stream.write_all(head.as_bytes()).await;
                                while sent.is_ok() {
                                    sent = stream.write_all(&[b'x'; 16 * 1024]).await;
                                }
                                break;
                            }
                            Answer::Cut => break,
                            Answer::Silence => std::future::pending().await,
                        }
                    }
                });
            }
        });
        Self {
            url,
            requests,
            _tasks: tasks,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// The next request; `None` at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let line = read_line(stream).await?;
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let header = read_line(stream).await?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ").unwrap();
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
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
    (read > 0).then(|| line.trim_end().to_owned())
}
