//! What one consumer has taken, and what its inbox does next. Nothing here knows a database.
//!
//! A message is handed out once the one before it of its key was acknowledged, and not before. So
//! nothing overtakes what goes back, whoever asks for deliveries, and in whatever order: a message
//! that is behind one that goes back is put back, too.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::room::Room;
use crate::store::{Lane, TakenMessage};

/// How many keys one statement looks for.
const MOST_LANES: usize = 64;

/// How many keys are remembered that may have a next message. Past that, to look for everything finds
/// them.
const MOST_ENDED: usize = 1_024;

/// To look for everything takes at most this part of the time: with a long backlog that nobody can
/// have now it is slow.
const LOOK_SHARE: u32 = 5;

/// Messages of one key that were taken together, in order. At that time everything before them of
/// their key was done, and nothing that waited was between them. Or one message without a key.
#[derive(Debug)]
pub(super) struct Run {
    /// The end of their leases.
    pub(super) until: Instant,
    pub(super) messages: VecDeque<TakenMessage>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// The first of them can be handed out.
    HandOut(Run),
    Failed(sqlx::Error),
    Look(Look),
    /// Until something has changed, or that time.
    Wait(Option<Instant>),
    End,
}

/// A statement to run.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// Others can have these.
    PutBack(Vec<i64>),
    /// What comes next of these keys: so many of each.
    Lanes(Vec<Lane>, u32),
    /// The first message of each key, and so many at most.
    All(u32),
}

#[derive(Debug)]
pub(super) struct Hands {
    /// Whose the leases are.
    pub(super) owner: Uuid,
    /// Something is to be done.
    pub(super) changed: Notify,
    poll_interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Run>,
    /// Keys of which the last message in hand is done.
    ended: VecDeque<Lane>,
    /// To put back.
    back: Vec<i64>,
    room: Room,
    is_looking: bool,
    /// Whether there may be something that nobody has taken.
    looks_for_all: bool,
    turn: Turn,
    not_before: Instant,
    next_poll: Instant,
    failed: Option<sqlx::Error>,
    /// Nothing is handed out any more.
    is_closed: bool,
}

/// What is looked for next, if both can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Keys of which the last message in hand is done.
    Lanes,
    All,
}

impl Hands {
    pub(super) fn new(poll_interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            owner: Uuid::from_u128(rand::random()),
            changed: Notify::new(),
            poll_interval,
            state: Mutex::new(State {
                ready: VecDeque::new(),
                ended: VecDeque::new(),
                back: Vec::new(),
                room: Room::default(),
                is_looking: false,
                looks_for_all: true,
                turn: Turn::All,
                not_before: now,
                next_poll: now,
                failed: None,
                is_closed: false,
            }),
        }
    }

    pub(super) fn next(&self, is_stopped: bool, now: Instant) -> Step {
        let mut state = self.state();
        if is_stopped {
            if state.is_looking {
                return Step::Wait(None);
            }
            state.is_closed = true;
            for run in mem::take(&mut state.ready) {
                state.put_back(&run.messages);
            }
        }
        while let Some(mut run) = state.ready.pop_front() {
            let Some(first) = run.messages.front() else {
                continue;
            };
            state.room.leave(first);
            if run.until <= now {
                // Others may have them by now. The first is handed out all the same: to take a message
                // may take longer than its lease, each time.
                let late = run.messages.split_off(1);
                state.put_back(&late);
            }
            return Step::HandOut(run);
        }
        if state.is_looking {
            return Step::Wait(None);
        }
        if !state.back.is_empty() {
            state.is_looking = true;
            return Step::Look(Look::PutBack(mem::take(&mut state.back)));
        }
        if is_stopped {
            return Step::End;
        }
        if let Some(error) = state.failed.take() {
            return Step::Failed(error);
        }
        state.looks_for_all |= state.next_poll <= now;
        let all_at = if state.looks_for_all {
            state.not_before
        } else {
            state.next_poll
        };
        // In turn, so that no key waits for ever.
        if !state.ended.is_empty() && (state.turn == Turn::Lanes || now < all_at) {
            let count = state.ended.len().min(MOST_LANES);
            let lanes: Vec<_> = state.ended.drain(..count).collect();
            state.is_looking = true;
            state.turn = Turn::All;
            return Step::Look(Look::Lanes(lanes, state.room.of_each(count)));
        }
        if now < all_at {
            return Step::Wait(Some(all_at));
        }
        state.is_looking = true;
        state.turn = Turn::Lanes;
        state.looks_for_all = false;
        state.next_poll = now + self.poll_interval;
        Step::Look(Look::All(state.room.batch()))
    }

    /// There may be something new.
    pub(super) fn look_for_all(&self) {
        self.state().looks_for_all = true;
    }

    /// A statement has ended that began at that time.
    pub(super) fn looked(
        &self,
        look: &Look,
        taken: Result<Vec<TakenMessage>, sqlx::Error>,
        until: Instant,
        began: Instant,
    ) {
        let mut state = self.state();
        state.is_looking = false;
        match taken {
            Ok(taken) => {
                if let Look::All(limit) = look {
                    let is_full = taken.len() >= *limit as usize;
                    state.looks_for_all |= is_full;
                    let now = Instant::now();
                    let pause = now.saturating_duration_since(began) * (LOOK_SHARE - 1);
                    state.not_before = if is_full {
                        now
                    } else {
                        now + pause.min(self.poll_interval)
                    };
                }
                state.room.enter(&taken);
                state.ready.extend(runs(taken, until));
            }
            // If these could not be put back, their leases end.
            Err(_) if matches!(look, Look::PutBack(_)) => {}
            Err(error) => {
                state.looks_for_all = true;
                state.failed = Some(error);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A statement was interrupted.
    pub(super) fn interrupted(&self) {
        let mut state = self.state();
        state.is_looking = false;
        state.looks_for_all = true;
        drop(state);
        self.changed.notify_one();
    }

    /// The message before these was handled: the first of them can be handed out. Those that are
    /// not, since nobody asks for them any more, are to be put back.
    pub(super) fn go_on(&self, run: Run) -> Vec<i64> {
        if run.messages.is_empty() {
            return Vec::new();
        }
        let mut state = self.state();
        if state.is_closed {
            state.room.leave_all(&run.messages);
            return seqs(&run.messages);
        }
        state.ready.push_back(run);
        drop(state);
        self.changed.notify_one();
        Vec::new()
    }

    /// The last message of this key that was in hand is done, and written as such.
    pub(super) fn ended(&self, lane: Lane) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        if state.ended.len() >= MOST_ENDED {
            state.looks_for_all = true;
        } else if !state.ended.contains(&lane) {
            // Once: a statement that was asked for a key twice would find each message twice.
            state.ended.push_back(lane);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// These are not handed out, and are to be put back now.
    pub(super) fn give_up(&self, messages: &VecDeque<TakenMessage>) -> Vec<i64> {
        self.state().room.leave_all(messages);
        seqs(messages)
    }

    /// The same, if there is nobody who could wait for it.
    pub(super) fn abandon(&self, messages: &VecDeque<TakenMessage>) {
        let mut state = self.state();
        state.put_back(messages);
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put_back(&mut self, messages: &VecDeque<TakenMessage>) {
        self.room.leave_all(messages);
        self.back.extend(seqs(messages));
    }
}

fn seqs(messages: &VecDeque<TakenMessage>) -> Vec<i64> {
    messages.iter().map(|message| message.seq).collect()
}

/// In the order of the first ones.
fn runs(taken: Vec<TakenMessage>, until: Instant) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut places: HashMap<Lane, usize> = HashMap::new();
    for message in taken {
        let place = message.lane().and_then(|lane| {
            let next = runs.len();
            let place = *places.entry(lane).or_insert(next);
            (place < next).then_some(place)
        });
        match place {
            Some(place) => runs[place].messages.push_back(message),
            None => runs.push(Run {
                until,
                messages: VecDeque::from([message]),
            }),
        }
    }
    runs
}
