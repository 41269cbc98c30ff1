//! What every part of a run shares: time, chance, the checker and the log.

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::history::History;

/// What a run is like: each has much of some things and little of others, so that some run has much
/// of what it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// How many transactions run at once at most.
    pub(super) transactions: usize,
    pub(super) keys: u8,
    /// Of a hundred messages, how many fail.
    pub(super) failures: u32,
    /// And how many no publisher takes.
    pub(super) poison: u32,
    /// How often each kind of step comes, compared with the others.
    pub(super) weights: [u32; 7],
}

impl Style {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let mut weight = |most: u32| rng.random_range(1..=most);
        Self {
            weights: [
                weight(50),
                weight(50) + 10,
                weight(40) + 5,
                weight(30),
                weight(15),
                weight(3),
                weight(8),
            ],
            transactions: weight(5) as usize,
            keys: u8::try_from(weight(5)).unwrap_or(1),
            failures: weight(40) - 1,
            poison: weight(20) - 1,
        }
    }
}

#[derive(Debug)]
pub(super) struct Scene {
    pub(super) style: Style,
    pub(super) began: Instant,
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    pub(super) history: History,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    /// `None`: nobody reads it.
    pub(super) log: Option<Vec<String>>,
}

impl Scene {
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let time = self.now - self.began;
            log.push(format!("{:>6} ms  {}", time.as_millis(), line()));
        }
    }
}
