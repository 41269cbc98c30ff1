//! How deliveries reach a handler.

use std::fmt::Display;
use std::future::poll_fn;
use std::io::{self, BufRead as _, BufReader, Read};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinError, JoinSet};

use crate::broker::{Answer, Delivery, End};

/// Handles what `deliveries` yields, at most `workers` at once. Returns what the calls returned, in
/// the order in which they ended.
///
/// # Errors
/// A call that panics; the others at work are dropped then.
pub async fn concurrently<M, F>(
    workers: usize,
    mut deliveries: Receiver<M>,
    handle: impl Fn(M) -> F,
) -> Result<Vec<F::Output>, JoinError>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut results = Vec::new();
    loop {
        tokio::select! {
            Some(result) = tasks.join_next() => results.push(result?),
            Some(delivery) = deliveries.recv(), if tasks.len() < workers => {
                tasks.spawn(handle(delivery));
            }
            else => return Ok(results),
        }
    }
}

/// Consumes what the broker delivers on standard input, until it ends, and answers on standard
/// output. `handle` returns `true` if it ran, and `false` if an earlier delivery had.
///
/// # Errors
/// Input that does not come from the broker, and a call that panics.
pub async fn serve<M, F, E>(workers: usize, handle: impl Fn(M) -> F) -> anyhow::Result<()>
where
    M: DeserializeOwned,
    F: Future<Output = Result<bool, E>> + Send + 'static,
    E: Display,
{
    let answers = concurrently(workers, lines(io::stdin()), |line: Line| {
        let delivery = line
            .text
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(serde_json::from_slice::<Delivery<M>>(&text)?))
            .map(|it| (it.number, cut_short(handle(it.message), it.cut_at)));
        async move {
            let (number, call) = delivery?;
            let end = match call.await {
                Some(Ok(true)) => End::Executed,
                Some(Ok(false)) => End::Replayed,
                Some(Err(error)) => End::Failed(error.to_string()),
                None => End::Cut,
            };
            println!("{}", serde_json::to_string(&Answer { number, end })?);
            anyhow::Ok(())
        }
    });
    answers.await?.into_iter().collect()
}

/// A line of some input.
#[derive(Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// Without its end; an error is the last line.
    pub text: io::Result<Vec<u8>>,
}

/// The lines of `input` that are not blank, read by a thread of their own, which does not keep the
/// process alive.
pub fn lines(input: impl Read + Send + 'static) -> Receiver<Line> {
    let (send, lines) = mpsc::channel(64);
    thread::spawn(move || {
        for (text, number) in BufReader::new(input).split(b'\n').zip(1..) {
            let failed = text.is_err();
            if text.as_ref().is_ok_and(|text| text.trim_ascii().is_empty()) {
                continue;
            }
            if send.blocking_send(Line { number, text }).is_err() || failed {
                break;
            }
        }
    });
    lines
}

/// Drops `future` at its await point number `at`, counted from 0, unless it is ready before that.
async fn cut_short<F: Future>(future: F, at: Option<u32>) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut passed = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if at == Some(passed) => Poll::Ready(None),
        Poll::Pending => {
            passed += 1;
            Poll::Pending
        }
    })
    .await
}
