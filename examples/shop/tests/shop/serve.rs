//! A shop that stays up, and what is left when it is killed.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{folder, shop};

const WITHIN: Duration = Duration::from_secs(20);

struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said until it was up.
    said: String,
}

impl Serving {
    fn start() -> Self {
        let mut child = shop()
            .arg("--serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut serving = Self {
            child,
            lines,
            said: String::new(),
        };
        serving.said = serving.until("Ctrl-C");
        serving
    }

    /// All lines up to the one that contains this.
    fn until(&mut self, part: &str) -> String {
        let mut said = String::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            said.extend([&line, "\n"]);
            if line.contains(part) {
                return said;
            }
        }
        panic!("no {part:?} in {said}");
    }

    /// The word after this one.
    fn word(&self, after: &str) -> &str {
        let rest = self.said.split_once(after).unwrap().1;
        rest.split_whitespace().next().unwrap()
    }

    /// Orders and ledger.
    fn services(&self) -> [Pid; 2] {
        let ids = self.said.split("kill -9 ").skip(1);
        let ids = ids.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap());
        ids.map(|id| Pid::from_raw(id).unwrap())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }
}

/// SIGTERM if the test has failed meanwhile.
impl Drop for Serving {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_also_after_a_kill() {
    let mut serving = Serving::start();
    let orders = serving.word("orders  ").to_owned();
    let ledger = serving.word("ledger  ").to_owned();
    let http = Client::new();
    let place = async |body: &'static str| {
        let request = http
            .post(format!("{orders}/orders"))
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let order = r#"{"id": "order-1", "account": "alice", "cents": 1250}"#;
    let (status, first) = place(order).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(place(order).await, (StatusCode::OK, first.clone()));
    // Another order under the same ID, and none at all.
    let (status, reason) = place(r#"{"id": "order-1", "account": "alice", "cents": 1}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{reason}");
    let (status, reason) = place(r#"{"id": "", "account": "alice", "cents": 1}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{reason}");
    let unknown = http
        .post(format!("{orders}/orders/none/cancel"))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), StatusCode::UNPROCESSABLE_ENTITY);

    let cancel = async || {
        let answer = http
            .post(format!("{orders}/orders/order-1/cancel"))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, cancelled) = cancel().await;
    assert_eq!(status, StatusCode::CREATED);

    let statement = async || {
        let answer = http
            .get(format!("{ledger}/accounts/alice"))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    };
    let entered = r#"{"cents":0,"entries":[["order-1",1250],["order-1",-1250]]}"#;
    let end = Instant::now() + WITHIN;
    while statement().await != entered {
        assert!(Instant::now() < end, "{}", statement().await);
    }

    kill_process(serving.services()[0], Signal::KILL).unwrap();
    serving.until("started again");
    let end = Instant::now() + WITHIN;
    while http.get(&orders).send().await.is_err() {
        assert!(Instant::now() < end);
    }
    assert_eq!(place(order).await, (StatusCode::OK, first));
    assert_eq!(cancel().await, (StatusCode::OK, cancelled));
    assert_eq!(statement().await, entered);

    kill_process(Pid::from_child(&serving.child), Signal::TERM).unwrap();
    assert!(serving.child.wait().unwrap().success());
    assert!(!folder(&serving.said).exists());
}

/// Guards: the watchdog. Nothing else of the program can act after a SIGKILL.
#[test]
fn when_it_is_killed_its_services_end_also_a_frozen_one_and_its_folder_goes() {
    let mut serving = Serving::start();
    let services = serving.services();
    let folder = folder(&serving.said);
    kill_process(services[1], Signal::STOP).unwrap();
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    let runs = |id: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
        // One that nobody has waited for is dead, too.
        stat.is_ok_and(|stat| !stat.contains(") Z"))
    };
    let end = Instant::now() + WITHIN;
    while services.iter().any(runs) || folder.exists() {
        assert!(Instant::now() < end, "{services:?}, {}", folder.display());
        thread::yield_now();
    }
}
