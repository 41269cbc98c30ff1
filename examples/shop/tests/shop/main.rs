//! The shop, run as a newcomer runs it.

mod books;
mod broker;
mod chaos;
mod program;
mod serve;

use std::fs::File;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{run, shop};

#[test]
fn orders_go_through_and_the_databases_agree() {
    let ran = run(shop().args(["--orders", "80", "--seed", "7"]));
    assert!(ran.succeeded, "{ran:?}");
    assert_eq!(
        ran.last_line(),
        "orders=80 entries=100 doubled=0 lost=0 reordered=0"
    );
    // The services ended, and what they worked on is gone.
    let folder = ran.folder();
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn a_broker_that_does_not_answer_is_named_within_a_bound() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    // Takes connections and says nothing; it ends with the test.
    thread::spawn(move || {
        let taken: Vec<_> = silent.incoming().collect();
        drop(taken);
    });
    for (broker, reason) in [
        ("amqp://me:secret@127.0.0.1:1/%2f", "can't be reached"),
        (
            &*format!("amqp://me:secret@{address}/%2f"),
            "did not answer within 10s",
        ),
        ("nats://me:secret@127.0.0.1:1", "can't be reached"),
        (&*format!("nats://me:secret@{address}"), "timed out"),
        ("nats://me:secret@[", "not a URL of NATS"),
        ("amqp:", "no broker is called \"amqp:\""),
        (
            "redis://127.0.0.1",
            "a URL that starts with nats:// or amqp://",
        ),
        ("kafka", "no broker is called \"kafka\""),
    ] {
        let start = Instant::now();
        let ran = run(shop().args(["--broker", broker]));
        assert!(!ran.succeeded, "{ran:?}");
        assert!(ran.stderr.contains(reason), "{ran:?}");
        assert!(
            !ran.stderr.contains("secret") && !ran.stderr.contains("panicked"),
            "{ran:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(25), "{broker}");
    }
}

#[test]
fn a_folder_in_which_another_run_works_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let ran = run(shop().arg("--data").arg(folder.path()));
    assert!(
        !ran.succeeded && ran.stderr.contains("another run works in"),
        "{ran:?}"
    );
}
