//! A relay as a process of its own, for tests that kill it: it prints the ID of each event that it
//! is handed, one a line.
//!
//! ```text
//! cargo run -p idem-tests --bin relay -- postgres://... confirm
//! ```
//!
//! With `confirm` each event is published, with `hold` none ever gets its verdict. The lease and the
//! pause between two looks are a minute, so that a test which waits for either fails.

use std::env;
use std::future::pending;
use std::io::{Write as _, stdout};
use std::time::Duration;

use idem_runtime::{PublishBatch, Publisher, Relay, RelayError};
use idem_tests::TestDb;

/// Far above what a test waits for.
const LONG: Duration = Duration::from_mins(1);

struct Printed {
    confirms: bool,
}

impl Publisher for Printed {
    async fn publish(&self, batch: PublishBatch) {
        for (index, message) in batch.messages().iter().enumerate() {
            let mut out = stdout().lock();
            // A reader that has gone away has killed this process, or is about to.
            let _ = writeln!(out, "{}", message.id).and_then(|()| out.flush());
            if self.confirms {
                batch.verdict(index, Ok(()));
            }
        }
        if !self.confirms {
            pending::<()>().await;
        }
    }
}

macro_rules! run {
    ($database:ty, $url:expr, $publisher:expr) => {{
        let pool = TestDb::<$database>::pool_of($url, 4).await;
        let relay = Relay::new(pool, $publisher).lease(LONG).poll_interval(LONG);
        relay.publish_timeout(LONG).run(pending()).await
    }};
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RelayError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, what] = &arguments[..] else {
        panic!("usage: relay URL confirm|hold");
    };
    let publisher = Printed {
        confirms: what == "confirm",
    };
    let ended = match url.split(':').next() {
        Some("postgres") => run!(sqlx::Postgres, url, publisher),
        Some("mysql") => run!(sqlx::MySql, url, publisher),
        _ => run!(sqlx::Sqlite, url, publisher),
    };
    ended.map(drop)
}
