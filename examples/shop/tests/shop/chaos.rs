//! A short chaos, and what it leaves.

use std::path::Path;
use std::{env, fs};

use crate::program::{Ran, is_installed, run, shop};

/// Any will do.
const SEED: &str = "2";

fn chaos(broker: &[&str]) -> Ran {
    let ran = run(shop().args(["--chaos", "8", "--seed", SEED]).args(broker));
    assert!(ran.succeeded, "{ran:?}");
    let last = ran.last_line();
    assert!(last.ends_with("doubled=0 lost=0 reordered=0"), "{ran:?}");
    // It was not the absence of everything.
    let orders: u64 = last
        .strip_prefix("orders=")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(orders > 20, "{ran:?}");
    let happened = |who: &str, what: &str| {
        let mut lines = ran.stdout.lines();
        lines.any(|line| line.contains(&format!(" s  {who}")) && line.contains(what))
    };
    assert!(
        happened("orders", "SIGKILL") && happened("ledger", "SIGKILL"),
        "{ran:?}"
    );
    assert!(
        happened("", "frozen for") && happened("", "SIGTERM"),
        "{ran:?}"
    );
    ran
}

#[test]
fn services_that_are_killed_and_frozen_lose_and_double_nothing() {
    chaos(&[]);
}

#[test]
fn with_a_rabbitmq_that_is_killed_too_nothing_is_lost_or_doubled() {
    with_broker("rabbitmq", "rabbitmq-server", "RabbitMQ");
}

/// Guards: what NATS confirms outlives a SIGKILL, and order over what it delivers again.
#[test]
fn with_a_nats_that_is_killed_too_nothing_is_lost_or_doubled() {
    with_broker("nats", "nats-server", "NATS");
}

fn with_broker(kind: &str, program: &str, label: &str) {
    if env::var_os("CI").is_none() && !is_installed(program) {
        eprintln!("skipped: {program} is not installed (scripts/install-servers does that)");
        return;
    }
    let ran = chaos(&["--broker", kind]);
    let killed = |line: &str| line.contains(&format!("s  {label}")) && line.contains("SIGKILL");
    assert!(ran.stdout.lines().any(killed), "{ran:?}");
    assert!(!ran.folder().exists());
    let left = processes_of(&ran.folder());
    assert!(left.is_empty(), "still running: {left:?}");
}

/// Those whose environment or command line names this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut found = Vec::new();
    for process in processes {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        if command.contains(&name) || String::from_utf8_lossy(&read("environ")).contains(&name) {
            found.push(command);
        }
    }
    found
}
