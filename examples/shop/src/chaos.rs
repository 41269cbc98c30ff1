//! Ends and freezes programs at random, and starts them again.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use crate::process::Program;
use crate::screen::Screen;
use crate::shop::{END_WITHIN, Shop};

/// How often a program may end by itself before it is left alone.
const MOST_ENDS: u64 = 20;

/// What was done to programs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) killed: u64,
    pub(crate) frozen: u64,
    pub(crate) terminated: u64,
    /// What they did by themselves: a service that gives up is started again.
    pub(crate) ended: u64,
}

impl Tally {
    pub(crate) const fn all(self) -> u64 {
        self.killed + self.frozen + self.terminated
    }
}

/// What was done to whom.
pub(crate) type Tallies = Vec<(&'static str, Tally)>;

/// Troubles everything for this long, and leaves everything running.
pub(crate) async fn chaos(
    shop: &mut Shop,
    seed: u64,
    length: Duration,
    screen: &Screen,
) -> Result<Tallies> {
    // A short one is as colourful as a long one.
    let pause = (length / 20).clamp(Duration::from_millis(200), Duration::from_secs(3));
    let end = Instant::now() + length;
    let plan = |number: u64, pause| Plan::new(seed ^ (0x5eed << number), pause, end);
    let server = async {
        match &mut shop.server {
            // It takes seconds to come back.
            Some(server) => {
                let tally = trouble(&mut server.program, plan(2, pause * 3), screen).await?;
                Ok(vec![tally])
            }
            None => Ok(Vec::new()),
        }
    };
    let (orders, ledger, mut all) = tokio::try_join!(
        trouble(&mut shop.orders, plan(0, pause), screen),
        trouble(&mut shop.ledger, plan(1, pause), screen),
        server,
    )?;
    all.splice(0..0, [orders, ledger]);
    shop.ready().await?;
    Ok(all)
}

/// Starts again what ends by itself, for ever.
pub(crate) async fn supervise(program: &mut Program, screen: &Screen) -> Result<()> {
    let mut tally = Tally::default();
    loop {
        let status = program.ended().await?;
        again(program, &mut tally, &format!("ended: {status}"), screen).await?;
    }
}

/// What is done to one program, and when: the same for the same seed.
struct Plan {
    rng: StdRng,
    longest_pause: Duration,
    end: Instant,
    /// What is still to be done before anything comes again.
    acts: Vec<Act>,
}

#[derive(Clone, Copy)]
enum Act {
    Kill,
    Freeze,
    Terminate,
}

impl Plan {
    fn new(seed: u64, longest_pause: Duration, end: Instant) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            longest_pause,
            end,
            acts: Vec::new(),
        }
    }

    /// After which pause, what, and for which part of the usual time.
    fn next(&mut self) -> (Duration, Act, f64) {
        if self.acts.is_empty() {
            self.acts = vec![Act::Kill, Act::Kill, Act::Freeze, Act::Terminate];
            self.acts.shuffle(&mut self.rng);
        }
        let pause = self.longest_pause.mul_f64(self.rng.random_range(0.2..1.0));
        (
            pause,
            self.acts.pop().unwrap_or(Act::Kill),
            self.rng.random(),
        )
    }
}

async fn trouble(
    program: &mut Program,
    mut plan: Plan,
    screen: &Screen,
) -> Result<(&'static str, Tally)> {
    let mut tally = Tally::default();
    loop {
        let (pause, what, length) = plan.next();
        let next = Instant::now() + pause;
        tokio::select! {
            status = program.ended() => {
                let reason = format!("ended by itself ({}): {}", status?, program.last_words());
                again(program, &mut tally, &reason, screen).await?;
            }
            () = sleep_until(next.min(plan.end)) => {
                if next >= plan.end {
                    return Ok((program.name(), tally));
                }
                act(program, what, length, &mut tally, screen).await?;
            }
        }
    }
}

async fn act(
    program: &mut Program,
    what: Act,
    length: f64,
    tally: &mut Tally,
    screen: &Screen,
) -> Result<()> {
    let name = program.name();
    match what {
        Act::Freeze => {
            let length = Duration::from_millis(500) + Duration::from_millis(2500).mul_f64(length);
            screen.event(
                name,
                format_args!("frozen for {:.1} s", length.as_secs_f64()),
            );
            program.signal(Signal::STOP)?;
            sleep(length).await;
            program.signal(Signal::CONT)?;
            tally.frozen += 1;
            return Ok(());
        }
        Act::Terminate => {
            let start = Instant::now();
            let status = program.terminate(END_WITHIN).await?;
            let Some(status) = status else {
                bail!(
                    "{name} did not end within {END_WITHIN:?} of SIGTERM: {}",
                    program.last_words()
                );
            };
            let took = start.elapsed().as_secs_f64();
            screen.event(
                name,
                format_args!("SIGTERM; ended in order after {took:.1} s"),
            );
            if !status.success() && (name == "orders" || name == "ledger") {
                bail!(
                    "{name} ended with {status} after SIGTERM: {}",
                    program.last_words()
                );
            }
            tally.terminated += 1;
        }
        Act::Kill => {
            program.kill().await?;
            screen.event(name, "SIGKILL");
            tally.killed += 1;
        }
    }
    sleep(Duration::from_secs(1).mul_f64(length)).await;
    start(program, screen).await
}

async fn again(
    program: &mut Program,
    tally: &mut Tally,
    reason: &str,
    screen: &Screen,
) -> Result<()> {
    screen.event(program.name(), reason);
    tally.ended += 1;
    if tally.ended > MOST_ENDS {
        bail!("{} has ended by itself {MOST_ENDS} times", program.name());
    }
    sleep(Duration::from_millis(500)).await;
    start(program, screen).await
}

/// A service may be killed again before it listens; a broker gets the time that it needs.
async fn start(program: &mut Program, screen: &Screen) -> Result<()> {
    let (name, start) = (program.name(), Instant::now());
    program.spawn()?;
    if name == "orders" || name == "ledger" {
        screen.event(name, "started again");
        return Ok(());
    }
    program.ready().await?;
    let took = start.elapsed().as_secs_f64();
    screen.event(
        name,
        format_args!("started again; answers after {took:.1} s"),
    );
    Ok(())
}
