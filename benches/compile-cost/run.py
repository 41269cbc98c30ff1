#!/usr/bin/env python3
"""What 100 annotated handlers cost to compile, compared with 100 plain ones and 100 with a dedup by hand.

    benches/compile-cost/run.py [--handlers 100] [--runs 5] [--profile check release]

Writes three programs that do the same work into a folder under `target/`, builds what they depend on, and then times
`cargo check` and `cargo build --release` of the programs alone. What is counted is processor time, user and system, so that a busy
machine matters little, and the runs are interleaved, so that what it matters for hits all three. Prints the median of each and its
ratios. Each handler is called, so that its code is generated.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

HEAD = """\
#![allow(dead_code)]
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    pub id: String,
    pub account: i64,
    pub cents: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    pub account: i64,
    pub cents: i64,
}
"""

EFFECT = """\
    sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
        .bind(event.cents)
        .bind(event.account)
        .execute(&mut *tx)
        .await?;
    Ok(Receipt { account: event.account, cents: %d })
"""

PLAIN = """
async fn apply_%(n)d(pool: &PgPool, event: &Payment) -> Result<Receipt, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let receipt = effect_%(n)d(&mut tx, event).await?;
    tx.commit().await?;
    Ok(receipt)
}

async fn effect_%(n)d(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, sqlx::Error> {
%(effect)s}
"""

BY_HAND = """
async fn apply_%(n)d(pool: &PgPool, event: &Payment) -> Result<Receipt, Failure> {
    let mut tx = pool.begin().await?;
    let claimed = sqlx::query("INSERT INTO keys (scope, key) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind("apply_%(n)d")
        .bind(&event.id)
        .execute(&mut *tx)
        .await?;
    if claimed.rows_affected() == 0 {
        let stored: Vec<u8> = sqlx::query_scalar("SELECT result FROM keys WHERE scope = $1 AND key = $2")
            .bind("apply_%(n)d")
            .bind(&event.id)
            .fetch_one(&mut *tx)
            .await?;
        tx.rollback().await?;
        return Ok(serde_json::from_slice(&stored)?);
    }
    let receipt = effect_%(n)d(&mut tx, event).await?;
    sqlx::query("UPDATE keys SET result = $3 WHERE scope = $1 AND key = $2")
        .bind("apply_%(n)d")
        .bind(&event.id)
        .bind(serde_json::to_vec(&receipt)?)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(receipt)
}

async fn effect_%(n)d(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, sqlx::Error> {
%(effect)s}
"""

ANNOTATED = """
#[idem_runtime::idempotent(key = "event.id")]
async fn apply_%(n)d(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, sqlx::Error> {
%(effect)s}
"""

FAILURE = """
#[derive(Debug)]
pub enum Failure {
    Database(sqlx::Error),
    Stored(serde_json::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Stored(error)
    }
}
"""

MAIN = """
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let pool = PgPool::connect_lazy("postgres://localhost/none").unwrap();
    let event = Payment { id: std::env::args().collect(), account: 1, cents: 1 };
%s}
"""

MANIFEST = """\
[package]
name = "%s"
version = "0.0.0"
edition = "2024"

[dependencies]
idem-runtime = { path = "%s", features = ["postgres"] }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
sqlx = { version = "0.9", default-features = false, features = ["runtime-tokio", "postgres"] }
tokio = { version = "1.40", features = ["macros", "rt"] }
"""

PROGRAMS = {"plain": ("", PLAIN), "by-hand": (FAILURE, BY_HAND), "annotated": ("", ANNOTATED)}
COMMANDS = {"check": ["check"], "release": ["build", "--release"]}


def write(folder: pathlib.Path, handlers: int) -> None:
    for name, (extra, template) in PROGRAMS.items():
        source = folder / name / "src"
        source.mkdir(parents=True, exist_ok=True)
        functions = "".join(template % {"n": n, "effect": EFFECT % n} for n in range(handlers))
        calls = "".join(f'    println!("{{:?}}", apply_{n}(&pool, &event).await);\n' for n in range(handlers))
        (source / "main.rs").write_text(HEAD + extra + functions + MAIN % calls)
        manifest = MANIFEST % (name, REPOSITORY / "idem-runtime")
        (folder / name / "Cargo.toml").write_text(manifest)
    members = ", ".join(f'"{name}"' for name in PROGRAMS)
    (folder / "Cargo.toml").write_text(f'[workspace]\nresolver = "3"\nmembers = [{members}]\n')
    (folder / "Cargo.lock").write_bytes((REPOSITORY / "Cargo.lock").read_bytes())


def seconds(folder: pathlib.Path, name: str, command: list[str]) -> float:
    os.utime(folder / name / "src/main.rs")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["cargo", *command, "--quiet", "-p", name], cwd=folder, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--handlers", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profile", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    arguments = parser.parse_args()
    folder = REPOSITORY / "target/compile-cost"
    write(folder, arguments.handlers)
    os.environ["CARGO_TARGET_DIR"] = str(folder / "target")
    os.environ["CARGO_INCREMENTAL"] = "0"
    print(f"{'':10}{'program':>12}{'median s':>10}{'/ plain':>10}{'/ by hand':>11}")
    for profile in arguments.profile:
        for name in PROGRAMS:
            seconds(folder, name, COMMANDS[profile])
        taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
        for _ in range(arguments.runs):
            for name in PROGRAMS:
                taken[name].append(seconds(folder, name, COMMANDS[profile]))
        median = {name: statistics.median(values) for name, values in taken.items()}
        for name, value in median.items():
            ratios = f"{value / median['plain']:>10.2f}{value / median['by-hand']:>11.2f}"
            print(f"{profile:10}{name:>12}{value:>10.2f}{ratios}", flush=True)


if __name__ == "__main__":
    main()
