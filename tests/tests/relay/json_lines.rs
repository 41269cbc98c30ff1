//! Events as lines of a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use idem_runtime::broker::JsonLines;
use serde_json::Value;

use crate::receivers::within;
use crate::sqlite::start;
use crate::sqlite::suite::{emit, relay};

fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|event: Value| event["data"]["n"].as_u64().unwrap())
        .collect()
}

/// Guards: the file is appended to, and the mapping of CloudEvents.
#[tokio::test]
async fn each_event_is_one_line_at_the_end_of_the_file() {
    let db = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let relay = relay(&db.pool, JsonLines::file(&path)).source("https://shop.example/orders");
    let ids = emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    within(relay.drain()).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let time = first["time"].take();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    assert_eq!(
        first,
        serde_json::json!({
            "specversion": "1.0", "id": ids[0].to_string(), "source": "https://shop.example/orders",
            "type": "Happened", "time": null, "topic": "happenings", "partitionkey": "a",
            "datacontenttype": "application/json", "data": {"key": "a", "n": 1},
        })
    );
    emit(&db.pool, &[(None, 3)]).await.unwrap();
    within(relay.drain()).await.unwrap();
    assert_eq!(numbers(&path), [1, 2, 3]);
}

/// Guards: what is left of a line without its end is cut off before the next one is written.
#[tokio::test]
async fn a_line_that_a_crash_cut_short_does_not_spoil_the_next() {
    let db = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let relay = relay(&db.pool, JsonLines::file(&path));
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    within(relay.drain()).await.unwrap();
    let whole = fs::read(&path).unwrap();
    // Longer than what is read at once.
    let torn = [whole.clone(), vec![b'{'; 10_000]].concat();
    fs::write(&path, torn).unwrap();
    emit(&db.pool, &[(None, 2)]).await.unwrap();
    within(relay.drain()).await.unwrap();
    assert_eq!(numbers(&path), [1, 2]);
    assert!(fs::read(&path).unwrap().starts_with(&whole));
}

/// Guards: a file that can't be written is no fault of any event.
#[tokio::test]
async fn a_file_that_cant_be_written_is_tried_again() {
    let db = start().await;
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let path = missing.join("events.jsonl");
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    let relay = relay(&db.pool, JsonLines::file(&path)).max_attempts(1);
    let draining = tokio::spawn(relay.drain());
    fs::create_dir(&missing).unwrap();
    let relayed = within(draining).await.unwrap().unwrap();
    assert_eq!((relayed.published, relayed.dead_lettered), (1, 0));
    assert_eq!(numbers(&path), [1]);
}

/// Guards: all lines are flushed before they are confirmed. The test runs itself in another
/// process, whose output it reads.
#[tokio::test]
async fn lines_on_standard_output_are_whole() {
    const CHILD: &str = "IDEM_TESTS_PRINTS";
    if std::env::var_os(CHILD).is_some() {
        let db = start().await;
        let events: Vec<_> = (0..500).map(|n| (None, n)).collect();
        emit(&db.pool, &events).await.unwrap();
        relay(&db.pool, JsonLines::stdout()).drain().await.unwrap();
        // Without a destructor that could flush.
        std::process::exit(0);
    }
    let name = "json_lines::lines_on_standard_output_are_whole";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["n"].as_u64())
        .collect();
    assert_eq!(numbers, (0..500).map(Some).collect::<Vec<_>>());
}
