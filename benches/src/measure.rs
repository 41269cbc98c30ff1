//! Arms side by side: A B C, A B C, in one process, so that whatever else the machine does hits all
//! of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::ProgressBar;

use crate::arm::{Arm, Payment};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) warm_up: usize,
    pub(crate) rounds: usize,
    /// Runs of one arm in a row.
    pub(crate) block: usize,
}

/// Times of one arm.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) arm: &'static str,
    /// First of its block: the connection lay ready in the pool. What a caller waits for.
    pub(crate) alone: Vec<Sample>,
    /// Right after another run on the only connection, whose return to the pool is part of the
    /// time. What one connection can do.
    pub(crate) in_a_row: Vec<Sample>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) micros: f64,
}

/// Runs every arm `plan.block` times a round; the order turns round with each round.
pub(crate) async fn interleaved(
    mut arms: Vec<Arm>,
    plan: Plan,
    progress: ProgressBar,
) -> Result<Vec<Times>> {
    let mut times: Vec<Times> = arms
        .iter()
        .map(|arm| Times {
            arm: arm.name,
            alone: Vec::new(),
            in_a_row: Vec::new(),
        })
        .collect();
    let mut order: Vec<usize> = (0..arms.len()).collect();
    for round in 0..plan.warm_up + plan.rounds {
        for &index in &order {
            let arm = &mut arms[index];
            progress.set_message(arm.name);
            for position in 0..plan.block {
                let micros = run(arm)
                    .await
                    .with_context(|| format!("{}, round {round}", arm.name))?;
                let Some(round) = round.checked_sub(plan.warm_up) else {
                    continue;
                };
                let sample = Sample { round, micros };
                // What was prepared went before on the same connection.
                if position == 0 && arm.prepare.is_none() {
                    times[index].alone.push(sample);
                } else if position > 0 {
                    times[index].in_a_row.push(sample);
                }
            }
            // Its connection goes back to the pool in the background, which the next arm should not
            // feel.
            tokio::time::sleep(Duration::from_millis(5)).await;
            progress.inc(1);
        }
        order.reverse();
        order.rotate_left(1);
    }
    Ok(times)
}

async fn run(arm: &mut Arm) -> Result<f64> {
    let payment = Payment::new();
    if let Some(prepare) = &mut arm.prepare {
        prepare(payment.clone()).await?;
    }
    let start = Instant::now();
    (arm.run)(payment).await?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}
