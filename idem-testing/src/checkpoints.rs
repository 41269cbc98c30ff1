//! The steps of a call on SQLite, which has no server: the checkpoints at which it asks whether to
//! go on with a statement.
//!
//! SQLite asks at the end of each step of a statement and inside of loops, so also after a COMMIT
//! has been done and before it is reported. For the same statements on the same database these
//! points are the same.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is done at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointAction {
    /// The statement ends with `SQLITE_INTERRUPT`.
    Interrupt,
    /// The statement stays where it is until [`release`](Checkpoints::release).
    Hold,
    /// A row is not written. Its point counts the written rows, not the checkpoints.
    FailWrite,
}

/// Counts the checkpoints of all connections of a pool, and stops at one of them.
#[derive(Debug, Default)]
pub struct Checkpoints {
    state: Mutex<State>,
    released: Condvar,
    held: Notify,
}

#[derive(Debug, Default)]
struct State {
    counts: bool,
    armed: Option<(u64, CheckpointAction)>,
    /// How often a row that failed fails again when it is written again.
    repeats_left: u32,
    /// The row that failed.
    failed: Option<String>,
    holds: bool,
    happened: bool,
    /// For each checkpoint, what the call had changed last, and how often its future had been
    /// polled.
    after: Vec<(String, u64)>,
    polls: u64,
    /// The rows that were written, or were about to be.
    writes: Vec<String>,
    last: String,
}

impl Checkpoints {
    /// Forgets what was counted, and counts from here.
    pub(crate) fn arm(&self, armed: Option<(u64, CheckpointAction)>, repeats: u32) {
        *self.state() = State {
            counts: true,
            armed,
            repeats_left: repeats,
            last: "at the start".into(),
            ..State::default()
        };
    }

    /// Stops counting, and lets a held statement go on.
    pub(crate) fn disarm(&self) {
        let mut state = self.state();
        state.counts = false;
        state.armed = None;
        drop(state);
        self.release();
    }

    pub(crate) fn release(&self) {
        self.state().holds = false;
        self.released.notify_all();
    }

    /// Waits until a statement is held.
    pub(crate) async fn held(&self) {
        self.held.notified().await;
    }

    /// Whether the action was done.
    pub(crate) fn happened(&self) -> bool {
        self.state().happened
    }

    /// For each checkpoint since [`arm`](Self::arm), what the call had done last.
    pub(crate) fn steps(&self) -> Vec<String> {
        let state = self.state();
        state.after.iter().map(|(last, _)| last.clone()).collect()
    }

    /// The future of the call is polled: it sees what was done, and may send another statement.
    pub(crate) fn polled(&self) {
        self.state().polls += 1;
    }

    /// The last checkpoint of each statement before the call got its result. There the work of the
    /// statement is done: BEGIN has begun and COMMIT has committed, and in practice neither fails
    /// after that.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let state = self.state();
        let after = &state.after;
        let is_end = |index: &usize| {
            after
                .get(index + 1)
                .is_none_or(|(_, polls)| *polls != after[*index].1)
        };
        (0..after.len())
            .filter(is_end)
            .map(|index| index as u64 + 1)
            .collect()
    }

    /// SQLite asks whether to go on.
    pub(crate) fn pass(&self) -> bool {
        let mut state = self.state();
        if !state.counts {
            return true;
        }
        let passed = (state.last.clone(), state.polls);
        state.after.push(passed);
        let Some((point, action)) = state.armed else {
            return true;
        };
        if state.after.len() as u64 != point || action == CheckpointAction::FailWrite {
            return true;
        }
        state.happened = true;
        match action {
            CheckpointAction::Interrupt | CheckpointAction::FailWrite => false,
            CheckpointAction::Hold => {
                state.holds = true;
                self.held.notify_one();
                drop(
                    self.released
                        .wait_while(state, |state| state.holds)
                        .unwrap_or_else(PoisonError::into_inner),
                );
                true
            }
        }
    }

    /// SQLite is about to write a row. `false`: it must not.
    pub(crate) fn write(&self, what: &str) -> bool {
        let mut state = self.state();
        if !state.counts {
            return true;
        }
        state.writes.push(what.to_owned());
        let is_at_point =
            state.armed == Some((state.writes.len() as u64, CheckpointAction::FailWrite));
        let fails_again = state.failed.as_deref() == Some(what) && state.repeats_left > 0;
        if is_at_point {
            state.failed = Some(what.to_owned());
        } else if fails_again {
            state.repeats_left -= 1;
        }
        let fails = is_at_point || fails_again;
        state.happened |= fails;
        !fails
    }

    /// The rows since [`arm`](Self::arm) that were written, or were about to be.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// SQLite has done something: `INSERT INTO payments`, `COMMIT`.
    pub(crate) fn note(&self, done: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.counts {
            state.last = format!("after {}", done());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_counted_named_and_ended_by_statement() {
        let checkpoints = Checkpoints::default();
        assert!(checkpoints.pass(), "counting has not begun");
        checkpoints.arm(Some((3, CheckpointAction::Interrupt)), 0);
        checkpoints.polled();
        assert!(checkpoints.pass() && checkpoints.pass());
        checkpoints.polled();
        checkpoints.note(|| "UPDATE accounts".into());
        assert!(!checkpoints.pass() && checkpoints.happened());
        assert!(checkpoints.pass(), "one is interrupted");
        assert_eq!(
            checkpoints.steps(),
            [
                "at the start",
                "at the start",
                "after UPDATE accounts",
                "after UPDATE accounts"
            ]
        );
        assert_eq!(checkpoints.ends(), [2, 4]);
    }

    #[test]
    fn a_row_that_failed_fails_again_as_often_as_armed() {
        let checkpoints = Checkpoints::default();
        checkpoints.arm(Some((2, CheckpointAction::FailWrite)), 2);
        let rows = ["claim", "effect", "claim", "effect", "effect", "effect"];
        let written = rows.map(|row| checkpoints.write(row));
        assert_eq!(written, [true, false, true, false, false, true]);
    }

    #[test]
    fn a_held_statement_goes_on_when_it_is_released() {
        let checkpoints = std::sync::Arc::new(Checkpoints::default());
        checkpoints.arm(Some((1, CheckpointAction::Hold)), 0);
        let statement = std::thread::spawn({
            let checkpoints = std::sync::Arc::clone(&checkpoints);
            move || checkpoints.pass()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(checkpoints.held());
        assert!(checkpoints.happened() && !statement.is_finished());
        checkpoints.disarm();
        assert!(statement.join().unwrap());
    }
}
