//! A message broker as bad as they come: it delivers too often and out of order, and its consumer
//! is a process that it kills.
//!
//! A delivery is a line of JSON on the consumer's standard input, an answer one on its standard
//! output. What the consumer did not acknowledge before it was killed is delivered to the next one.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{self, UnboundedSender};

/// How often the consumer is killed.
const KILLS: usize = 2;

/// How often a delivery may fail before the broker gives up.
const MAX_FAILURES: u32 = 20;

/// One delivery in this many is cut short.
const CUT_ONE_IN: u32 = 25;

/// On the way to the consumer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delivery<M> {
    /// Its place among all deliveries.
    pub number: usize,
    /// At which of its await points the handler's future is dropped, if it gets that far.
    pub cut_at: Option<u32>,
    /// What is delivered.
    pub message: M,
}

/// On the way back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Of the delivery.
    pub number: usize,
    /// What became of it.
    pub end: End,
}

/// What became of a delivery.
#[derive(Debug, Serialize, Deserialize)]
pub enum End {
    /// Acknowledged: the handler ran.
    Executed,
    /// Acknowledged: an earlier delivery had run the handler.
    Replayed,
    /// Dropped at one of its await points, as by a timeout or a client that went away.
    Cut,
    /// Refused with this message.
    Failed(String),
}

/// What the consumers reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Deliveries that ran the handler and were acknowledged.
    pub executed: usize,
    /// Deliveries that an earlier one had made superfluous.
    pub replayed: usize,
    /// Deliveries whose future was dropped.
    pub cut: usize,
    /// Deliveries that ended with an error and were delivered again.
    pub failed: usize,
    /// Consumers that were killed.
    pub killed: usize,
}

/// `count` deliveries: each of `messages` at least once, some of them again, in any order.
pub fn shuffle<M: Clone>(mut messages: Vec<M>, count: usize, rng: &mut StdRng) -> Vec<M> {
    let distinct = messages.len();
    while messages.len() < count {
        messages.push(messages[rng.random_range(0..distinct)].clone());
    }
    messages.shuffle(rng);
    messages
}

/// Delivers each of `messages` until it is acknowledged, to consumers started by `consumer`, and
/// calls `acknowledged` for each that is.
///
/// # Errors
/// A consumer that can't be started or that fails by itself, and a delivery that fails too often.
pub async fn deliver<M: Serialize>(
    messages: &[M],
    seed: u64,
    consumer: impl Fn() -> Command,
    acknowledged: impl Fn(),
) -> anyhow::Result<Tally> {
    let mut broker = Broker {
        messages,
        waiting: (0..messages.len()).collect(),
        failures: vec![0; messages.len()],
        tally: Tally::default(),
        rng: StdRng::seed_from_u64(seed),
        acknowledged,
    };
    // Each consumer but the last is killed somewhere in its share of the work.
    let share = messages.len() / (KILLS + 1);
    for _ in 0..KILLS {
        let kill_after = broker.rng.random_range(share / 2..=share);
        broker
            .serve(&mut spawn(consumer())?, Some(kill_after))
            .await?;
    }
    let mut last = spawn(consumer())?;
    broker.serve(&mut last, None).await?;
    let status = last.wait().await?;
    ensure!(status.success(), "the consumer ended with {status}");
    Ok(broker.tally)
}

fn spawn(mut consumer: Command) -> anyhow::Result<Child> {
    consumer
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the consumer can't be started")
}

struct Broker<'a, M, F> {
    messages: &'a [M],
    /// Not acknowledged yet.
    waiting: BTreeSet<usize>,
    failures: Vec<u32>,
    tally: Tally,
    rng: StdRng,
    acknowledged: F,
}

impl<M: Serialize, F: Fn()> Broker<'_, M, F> {
    /// Delivers what is waiting to one consumer, until all is acknowledged or the consumer was
    /// killed.
    async fn serve(&mut self, child: &mut Child, kill_after: Option<usize>) -> anyhow::Result<()> {
        let (send, mut lines) = mpsc::unbounded_channel::<String>();
        let mut stdin = child
            .stdin
            .take()
            .context("the consumer has no standard input")?;
        let stdout = child
            .stdout
            .take()
            .context("the consumer has no standard output")?;
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    // Nobody reads: the consumer is dead, which its standard output tells, too.
                    return;
                }
            }
        });
        for number in self.waiting.clone() {
            self.send(number, &send)?;
        }

        // Closing the channel closes the consumer's input, which then ends.
        let mut send = (!self.waiting.is_empty()).then_some(send);
        let mut answers = BufReader::new(stdout).lines();
        let mut acknowledged = 0;
        let mut killed = false;
        while let Some(line) = answers.next_line().await? {
            let answer: Answer = match serde_json::from_str(&line) {
                Ok(answer) => answer,
                // It was killed in the middle of a line.
                Err(_) if killed => break,
                Err(error) => {
                    return Err(error).with_context(|| format!("the consumer wrote {line:?}"));
                }
            };
            if self.take(answer, send.as_ref())? {
                acknowledged += 1;
            }
            if self.waiting.is_empty() {
                send = None;
            }
            if !killed && kill_after.is_some_and(|after| acknowledged >= after) {
                // SIGKILL: the process has no say in it. What it had answered before is still in
                // the pipe.
                child.start_kill()?;
                self.tally.killed += 1;
                killed = true;
            }
        }
        if !killed && !self.waiting.is_empty() {
            bail!("the consumer ended by itself: {}", child.wait().await?);
        }
        child.wait().await?;
        Ok(())
    }

    fn send(&mut self, number: usize, to: &UnboundedSender<String>) -> anyhow::Result<()> {
        let cut_at = self
            .rng
            .random_ratio(1, CUT_ONE_IN)
            .then(|| self.rng.random_range(0..8));
        let message = &self.messages[number];
        let mut line = serde_json::to_string(&Delivery {
            number,
            cut_at,
            message,
        })?;
        line.push('\n');
        // It fails when the consumer is gone: then the delivery waits for the next one.
        to.send(line).ok();
        Ok(())
    }

    /// Whether this acknowledges a delivery; if not, it is delivered again.
    fn take(
        &mut self,
        answer: Answer,
        again: Option<&UnboundedSender<String>>,
    ) -> anyhow::Result<bool> {
        let number = answer.number;
        match answer.end {
            End::Executed => self.tally.executed += 1,
            End::Replayed => self.tally.replayed += 1,
            End::Cut => {
                self.tally.cut += 1;
                return self.send_again(number, again);
            }
            End::Failed(reason) => {
                self.tally.failed += 1;
                self.failures[number] += 1;
                if self.failures[number] == MAX_FAILURES {
                    bail!("delivery {number} failed {MAX_FAILURES} times: {reason}");
                }
                return self.send_again(number, again);
            }
        }
        self.waiting.remove(&number);
        (self.acknowledged)();
        Ok(true)
    }

    fn send_again(
        &mut self,
        number: usize,
        to: Option<&UnboundedSender<String>>,
    ) -> anyhow::Result<bool> {
        if let Some(to) = to {
            self.send(number, to)?;
        }
        Ok(false)
    }
}
