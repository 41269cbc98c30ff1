//! The clients: they place orders, cancel some, and repeat each request until it is answered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::books::Answered;

const CLIENTS: u64 = 8;

pub(crate) const ACCOUNTS: [&str; 8] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi",
];

/// How long a client waits for one answer. Then it asks again, with the same order ID.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it asks again.
const LONGEST_OUTAGE: Duration = Duration::from_mins(2);

/// When clients stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this many orders.
    Orders(u64),
    /// At that time. Each waits a moment between two orders, at random up to this long.
    Time(Instant, Duration),
}

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: Vec<Answered>,
    /// How long each order took until it was answered.
    pub(crate) waited: Vec<Duration>,
    /// Requests that were sent again, since nobody had answered.
    pub(crate) repeated: u64,
    /// Answers to requests that had been done before.
    pub(crate) replayed: u64,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Receipt {
    order: String,
    version: i64,
}

/// Places orders with the service at this URL.
///
/// # Errors
/// A request that is refused, or not answered for two minutes; and another answer to a repeated
/// request than to the first one.
pub(crate) async fn traffic(
    url: &str,
    seed: u64,
    until: Until,
    bar: &ProgressBar,
) -> Result<Tally> {
    let traffic = Traffic {
        url,
        http: Client::builder().timeout(PATIENCE).build()?,
        tally: Mutex::default(),
        bar,
    };
    try_join_all((0..CLIENTS).map(|number| traffic.client(number, seed, until))).await?;
    Ok(traffic
        .tally
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

struct Traffic<'a> {
    url: &'a str,
    http: Client,
    tally: Mutex<Tally>,
    bar: &'a ProgressBar,
}

impl Traffic<'_> {
    async fn client(&self, number: u64, seed: u64, until: Until) -> Result<()> {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(CLIENTS).wrapping_add(number));
        let mut placed = number;
        loop {
            match until {
                Until::Orders(orders) if placed >= orders => return Ok(()),
                Until::Time(end, _) if Instant::now() >= end => return Ok(()),
                Until::Orders(_) => {}
                Until::Time(_, longest) => sleep(longest.mul_f64(rng.random())).await,
            }
            self.order(&mut rng).await?;
            self.bar.inc(1);
            placed += CLIENTS;
        }
    }

    async fn order(&self, rng: &mut StdRng) -> Result<()> {
        let id = uuid::Builder::from_random_bytes(rng.random())
            .into_uuid()
            .to_string();
        let account = ACCOUNTS[rng.random_range(0..ACCOUNTS.len())];
        let cents: i64 = rng.random_range(100..10_000);
        let order = json!({"id": id, "account": account, "cents": cents});
        let start = Instant::now();
        let placed = self.ask("/orders", &order, rng).await?;
        let waited = start.elapsed();
        if rng.random_ratio(1, 10) {
            // As a user does who clicks twice.
            let again = self.ask("/orders", &order, rng).await?;
            ensure!(
                again == placed,
                "order {id} was answered by {placed:?}, and when it came again by {again:?}"
            );
        }
        let cancelled = if rng.random_ratio(1, 4) {
            let path = format!("/orders/{id}/cancel");
            Some(self.ask(&path, &Value::Null, rng).await?.version)
        } else {
            None
        };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.waited.push(waited);
        tally.answered.push(Answered {
            order: id,
            account: account.to_owned(),
            cents,
            placed: placed.version,
            cancelled,
        });
        Ok(())
    }

    /// Asks until somebody answers.
    async fn ask(&self, path: &str, body: &Value, rng: &mut StdRng) -> Result<Receipt> {
        let (body, start) = (serde_json::to_vec(body)?, Instant::now());
        loop {
            let request = self
                .http
                .post(format!("{}{path}", self.url))
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
            let failure = match answer(request).await? {
                Ok((receipt, is_replayed)) => {
                    let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.replayed += u64::from(is_replayed);
                    return Ok(receipt);
                }
                Err(failure) => failure,
            };
            if start.elapsed() > LONGEST_OUTAGE {
                bail!("orders has not answered POST {path} for {LONGEST_OUTAGE:?}: {failure}");
            }
            self.tally
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .repeated += 1;
            sleep(Duration::from_millis(rng.random_range(20..200))).await;
        }
    }
}

/// The receipt, and whether it is that of an earlier request. The inner error says why there was no
/// answer yet.
async fn answer(request: reqwest::RequestBuilder) -> Result<Result<(Receipt, bool), String>> {
    let (status, body) = match request.send().await {
        Ok(answer) => (answer.status(), answer.bytes().await),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return Ok(Err(error.to_string())),
    };
    match status {
        StatusCode::CREATED | StatusCode::OK => {
            let receipt = serde_json::from_slice(&body).context("an answer can't be read")?;
            Ok(Ok((receipt, status == StatusCode::OK)))
        }
        StatusCode::SERVICE_UNAVAILABLE => Ok(Err(String::from_utf8_lossy(&body).into_owned())),
        _ => bail!(
            "orders refused a request: {status}, {}",
            String::from_utf8_lossy(&body)
        ),
    }
}
