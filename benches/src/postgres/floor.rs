//! The least that this crate's rows can cost: the same statements on the same tables, all of them
//! prepared, in as few requests as a transaction with a handler in it takes, over a bare socket. No
//! client library sends them like this.
//!
//! What no delay's ratios can't go below, since a claim is a row, its end an update of that row,
//! and an event a row.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::statements::EFFECT;
use crate::arm::{Arm, Payment, Posted, Receipt, name};

const CLAIM: &str =
    "INSERT INTO idem_keys (scope, key) VALUES ('floor', $1) ON CONFLICT DO NOTHING";
const FINISH: &str = "UPDATE idem_keys SET state = 1, result = $2 \
    WHERE scope = 'floor' AND key = $1 AND state = 0 AND xid = pg_current_xact_id()";
const EMIT: &str = "INSERT INTO idem_outbox (id, topic, key, type, payload, content_type, headers) \
    VALUES ($1, 'ledger.posted', $2, 'Posted', $3, 'application/json', '{}') ON CONFLICT (id) DO NOTHING";

/// The statements by the names under which they are prepared.
const STATEMENTS: [(&str, &str); 6] = [
    ("begin", "BEGIN"),
    ("claim", CLAIM),
    ("effect", EFFECT),
    ("emit", EMIT),
    ("finish", FINISH),
    ("commit", "COMMIT"),
];

#[derive(Clone, Copy)]
enum Rows {
    None,
    Key,
    KeyResultEvent,
}

/// A bare transaction, one with a key, and one with key, result and event.
pub(super) async fn arms(url: &str) -> Result<Vec<Arm>> {
    let mut arms = Vec::new();
    for (name, rows) in [
        (name::FLOOR_BARE, Rows::None),
        (name::FLOOR, Rows::KeyResultEvent),
        (name::FLOOR_SKIP, Rows::Key),
    ] {
        let wire = Arc::new(Mutex::new(Wire::connect(url).await?));
        arms.push(Arm::new(name, move |payment| {
            let wire = wire.clone();
            async move { wire.lock().await.handle(&payment, rows).await }
        }));
    }
    Ok(arms)
}

/// One connection, as PostgreSQL's protocol 3.0 has it.
struct Wire {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Wire {
    async fn connect(url: &str) -> Result<Self> {
        let (address, database) = url
            .split_once('@')
            .and_then(|(_, rest)| rest.split_once('/'))
            .with_context(|| format!("no host and database in {url}"))?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream,
            request: Vec::new(),
            answer: Vec::new(),
        };
        let hello = format!("\0\x03\0\0user\0postgres\0database\0{database}\0\0");
        wire.request
            .extend(u32::try_from(hello.len() + 4)?.to_be_bytes());
        wire.request.extend(hello.as_bytes());
        wire.exchange().await?;
        for (name, sql) in STATEMENTS {
            wire.message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"])?;
            wire.message(b'S', &[])?;
            wire.exchange().await?;
        }
        Ok(wire)
    }

    async fn handle(&mut self, payment: &Payment, rows: Rows) -> Result<()> {
        let key = format!("\\x01{}", payment.id.simple());
        self.run("begin", &[])?;
        if !matches!(rows, Rows::None) {
            self.run("claim", &[Some(&key)])?;
        }
        self.sync().await?;

        let (amount, account) = (payment.amount.to_string(), payment.account.to_string());
        self.run("effect", &[Some(&amount), Some(&account)])?;
        self.sync().await?;

        match rows {
            Rows::None => {}
            Rows::Key => self.run("finish", &[Some(&key), None])?,
            Rows::KeyResultEvent => {
                let result = serde_json::to_string(&Receipt::from(payment))?;
                let event = serde_json::to_string(&Posted::from(payment))?;
                let id = Uuid::now_v7().to_string();
                self.run("emit", &[Some(&id), Some(&account), Some(&event)])?;
                self.run("finish", &[Some(&key), Some(&result)])?;
            }
        }
        self.run("commit", &[])?;
        self.sync().await?;
        // As a pool does when it takes a connection back.
        self.sync().await
    }

    /// Adds Bind and Execute to the request.
    fn run(&mut self, statement: &str, values: &[Option<&str>]) -> Result<()> {
        let mut bound = format!("\0{statement}\0\0\0").into_bytes();
        bound.extend(u16::try_from(values.len())?.to_be_bytes());
        for value in values {
            match value {
                Some(value) => {
                    bound.extend(u32::try_from(value.len())?.to_be_bytes());
                    bound.extend(value.as_bytes());
                }
                None => bound.extend((-1_i32).to_be_bytes()),
            }
        }
        bound.extend([0, 0]);
        self.message(b'B', &[&bound])?;
        self.message(b'E', &[&[0; 5]])
    }

    async fn sync(&mut self) -> Result<()> {
        self.message(b'S', &[])?;
        self.exchange().await
    }

    fn message(&mut self, kind: u8, parts: &[&[u8]]) -> Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.request.push(kind);
        self.request
            .extend(u32::try_from(length + 4)?.to_be_bytes());
        for part in parts {
            self.request.extend(*part);
        }
        Ok(())
    }

    /// Sends the request and reads up to `ReadyForQuery`.
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.request.clear();
        self.answer.clear();
        let mut at = 0;
        loop {
            while let Some(header) = self.answer.get(at..at + 5) {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                let end = at + 1 + length as usize;
                let Some(body) = self.answer.get(at + 5..end) else {
                    break;
                };
                match header[0] {
                    b'E' => bail!("{}", String::from_utf8_lossy(body)),
                    b'C' => ensure!(
                        !body.ends_with(b" 0\0"),
                        "a statement changed no row: {}",
                        String::from_utf8_lossy(body)
                    ),
                    b'Z' => return Ok(()),
                    _ => {}
                }
                at = end;
            }
            ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the server closed the connection"
            );
        }
    }
}
