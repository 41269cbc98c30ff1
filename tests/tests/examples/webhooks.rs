//! Webhooks are counted once, and a second run finds all of them handled.

use std::fs;
use std::path::{Path, PathBuf};

use idem_tests::server::{self, Database};
use serde_json::{Value, json};

use crate::program::{program, run};

/// 40 deliveries: 30 distinct and 10 of them again.
fn deliveries() -> Vec<Value> {
    let delivery = |n: usize| {
        let payload = match n % 5 {
            0 => json!({"action": "deleted", "installation": {"id": 7}}),
            1 => json!({"organization": {"login": "octo-org"}, "repository": null}),
            2 => json!({"action": "opened", "repository": {"full_name": "octo-org/Hello"}}),
            _ => json!({"repository": {"full_name": "octo-org/hello"}}),
        };
        json!({"delivery": format!("00000000-0000-4000-8000-{n:012}"), "event": "ping", "payload": payload})
    };
    (0..30).chain(0..10).map(delivery).collect()
}

fn write(folder: &Path, lines: impl IntoIterator<Item = Value>) -> PathBuf {
    let file = folder.join("deliveries.jsonl");
    let lines: String = lines
        .into_iter()
        .map(|line| line.to_string() + "\n")
        .collect();
    fs::write(&file, lines).unwrap();
    file
}

fn webhooks_are_counted_once(database: &Database) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), deliveries());
    let mut command = program("github_webhooks");
    command
        .arg(file)
        .arg(database.url())
        .arg("--events")
        .arg(folder.path().join("events.jsonl"));

    let first = run(&mut command);
    let expected = "delivered=40 executed=30 replayed=10 published=30 doubled=0 lost=0";
    assert_eq!(
        (first.succeeded, first.last_line()),
        (true, expected),
        "{first:?}"
    );
    let counts: Vec<_> = first
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert_eq!(
        counts,
        [
            "(neither)                 6 events",
            "octo-org (organisation)   6 events",
            "octo-org/Hello            6 events",
            "octo-org/hello           12 events",
        ]
    );

    let second = run(&mut command);
    let expected = "delivered=40 executed=0 replayed=40 published=0 doubled=0 lost=0";
    assert_eq!(
        (second.succeeded, second.last_line()),
        (true, expected),
        "{second:?}"
    );
}

#[test]
fn webhooks_are_counted_once_on_sqlite() {
    webhooks_are_counted_once(&server::sqlite());
}

#[tokio::test]
async fn webhooks_are_counted_once_on_postgresql() {
    webhooks_are_counted_once(&server::postgres().database().await);
}

#[tokio::test]
async fn webhooks_are_counted_once_on_mariadb() {
    webhooks_are_counted_once(&server::mariadb().database().await);
}

#[test]
fn an_unreadable_line_is_named_and_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), deliveries());
    let mut lines: Vec<String> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.insert(3, "{\"delivery\": \"half a li".into());
    lines.insert(0, String::new());
    lines.push(json!({"delivery": "7", "event": "ping", "payload": {}}).to_string());
    fs::write(&file, lines.join("\n")).unwrap();

    // A path with spaces is a database, too, and its events go next to it.
    let database = folder.path().join("web hooks?.db");
    let ran = run(program("github_webhooks").arg(&file).arg(&database));
    assert!(!ran.succeeded);
    let expected = "delivered=40 executed=30 replayed=10 published=30 doubled=0 lost=0";
    assert_eq!(ran.last_line(), expected, "{ran:?}");
    let name = file.display();
    let errors: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(errors.len(), 2, "{ran:?}");
    assert!(
        errors[0].starts_with(&format!("{name}:5: not a delivery, column 23: EOF")),
        "{ran:?}"
    );
    assert!(
        errors[1].starts_with(&format!("{name}:43: not a delivery, column ")),
        "{ran:?}"
    );
    let events = fs::read_to_string(folder.path().join("web hooks?.db.events.jsonl")).unwrap();
    assert_eq!(events.lines().count(), 30);
}
