//! Arms that have a turn each, and the table of their rates.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::stats::quantile;

type Slice = Pin<Box<dyn Future<Output = Result<f64>> + Send>>;

/// One way to publish or to consume.
pub(super) struct Arm {
    name: &'static str,
    /// The bare client that does the same; none of one itself.
    rival: Option<&'static str>,
    /// Does it once, and says how many messages a second.
    slice: Box<dyn FnMut() -> Slice + Send>,
}

impl Arm {
    pub(super) fn new<F>(
        name: &'static str,
        rival: Option<&'static str>,
        mut slice: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<f64>> + Send + 'static,
    {
        Self {
            name,
            rival,
            slice: Box::new(move || Box::pin(slice())),
        }
    }
}

/// Gives each a turn in each round, and prints what came of it.
pub(super) async fn interleaved(
    title: &'static str,
    mut arms: Vec<Arm>,
    rounds: usize,
) -> Result<()> {
    let style = "{prefix} {wide_bar} {pos}/{len} {elapsed}/{duration} {msg:40}";
    let progress = ProgressBar::new(((rounds + 1) * arms.len()) as u64)
        .with_style(ProgressStyle::with_template(style)?)
        .with_prefix(title);
    progress.enable_steady_tick(Duration::from_millis(500));
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); arms.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (arm, rates) in arms.iter_mut().zip(&mut rates) {
            progress.set_message(arm.name);
            // On a worker, not on the thread that waits for the runtime.
            let rate = tokio::spawn((arm.slice)()).await?;
            let rate = rate.with_context(|| format!("{}, round {round}", arm.name))?;
            if round > 0 {
                rates.push(rate);
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let at = |rates: &Vec<f64>, share| quantile(rates.clone(), share).unwrap_or(f64::NAN);
    let median = |name: &str| {
        let place = arms.iter().position(|arm| arm.name == name);
        place.map_or(f64::NAN, |place| at(&rates[place], 0.5))
    };
    println!(
        "\n{title}, messages/s (median of {rounds} interleaved slices; 10th and 90th percentile)\n"
    );
    println!("| | messages/s | from | to | × bare |\n|---|--:|--:|--:|--:|");
    for (arm, rates) in arms.iter().zip(&rates) {
        let ratio = arm.rival.map_or(String::new(), |rival| {
            format!("{:.2}", median(arm.name) / median(rival))
        });
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {ratio} |",
            arm.name,
            at(rates, 0.5),
            at(rates, 0.1),
            at(rates, 0.9),
        );
    }
    Ok(())
}
