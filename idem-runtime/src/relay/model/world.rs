//! A run: a schedule that is drawn from a seed, and what it led to.

use std::sync::LazyLock;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::database::{Database, Step};
use super::history::{Counts, History};
use super::membership;
use super::process::{Condition, Process};
use super::rule::Rule;
use super::scene::{Scene, Style};

const MOST_RELAYS: usize = 3;

/// How often everything is given a chance to end.
const ROUNDS: usize = 1_000;

pub(super) struct World {
    scene: Scene,
    database: Database,
    processes: Vec<Process>,
    joined: usize,
    rule: Rule,
}

/// What a run led to.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) log: Vec<String>,
}

pub(super) fn run(rule: Rule, seed: u64, steps: usize, is_logged: bool) -> Outcome {
    // Times are compared with one another alone. One beginning for all makes schedules equal.
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let began = *BEGAN;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World {
        scene: Scene {
            style: Style::draw(&mut rng),
            began,
            now: began,
            rng,
            history: History::default(),
            is_calm: false,
            log: is_logged.then(Vec::new),
        },
        database: Database::new(),
        processes: Vec::new(),
        joined: 0,
        rule,
    };
    world.database.numbers_first = rule == Rule::NumbersBeforeXids;
    let style = world.scene.style;
    world.scene.note(|| format!("{style:?}"));
    world.join();
    for _ in 0..steps {
        world.step();
    }
    world.quiesce();
    world.check();
    Outcome {
        counts: world.scene.history.counts,
        log: world.scene.log.unwrap_or_default(),
    }
}

impl World {
    fn step(&mut self) {
        let weights = self.scene.style.weights;
        let mut roll = self.scene.rng.random_range(0..weights.iter().sum());
        let kind = weights.iter().position(|weight| {
            let is_this = roll < *weight;
            roll = roll.saturating_sub(*weight);
            is_this
        });
        match kind {
            Some(0) => self.transact(false),
            Some(1) => {
                if let Some(at) = self.pick(Process::works) {
                    self.turn(at);
                }
            }
            Some(2) => {
                if let Some(at) = self.pick(|_| true) {
                    self.processes[at].execute(&mut self.database, &mut self.scene);
                }
            }
            Some(3) => {
                if let Some(at) = self.pick(|one| one.condition != Condition::Frozen) {
                    self.processes[at].publish(&mut self.scene);
                }
            }
            Some(4) => self.pass(0..10),
            Some(5) => self.pass(20..150),
            _ => self.disturb(),
        }
    }

    fn pick(&mut self, which: impl Fn(&Process) -> bool) -> Option<usize> {
        let all = self.processes.iter().enumerate();
        let all: Vec<_> = all.filter(|(_, one)| which(one)).collect();
        let count = all.len();
        (count > 0).then(|| all[self.scene.rng.random_range(0..count)].0)
    }

    fn pass(&mut self, millis: std::ops::Range<u64>) {
        let millis = self.scene.rng.random_range(millis);
        self.scene.now += Duration::from_millis(millis);
    }

    fn transact(&mut self, is_closing: bool) {
        let is_ordered = !self
            .processes
            .iter()
            .any(|one| one.is_living() && one.reading.is_from_before_reset);
        let scene = &mut self.scene;
        let step = self.database.step(scene, is_closing, is_ordered);
        if matches!(step, Step::Nothing) {
            return;
        }
        scene.note(|| format!("database: {step}"));
        if matches!(step, Step::Committed(_)) && scene.rng.random() {
            for one in &mut self.processes {
                one.reading.wake(scene.now);
            }
        }
    }

    fn turn(&mut self, at: usize) {
        let one = &mut self.processes[at];
        one.turn(&mut self.scene);
        self.end_if_over(at);
    }

    fn end_if_over(&mut self, at: usize) {
        let one = &mut self.processes[at];
        if one.is_over() {
            let number = one.number;
            self.scene.note(|| format!("relay {number} has left"));
            membership::leave(one.owner, &mut self.database, self.scene.now);
            one.condition = Condition::Gone;
        }
    }

    fn join(&mut self) {
        let number = self.joined;
        self.joined += 1;
        self.scene.note(|| format!("relay {number} joins"));
        self.processes
            .push(Process::new(number, self.rule, self.scene.now));
    }

    fn disturb(&mut self) {
        let living = self.processes.iter().filter(|one| one.is_living()).count();
        match self.scene.rng.random_range(0..10) {
            0 | 1 if living < MOST_RELAYS => self.join(),
            2 if living > 1 => {
                self.change(
                    |one| one.condition == Condition::Running,
                    Condition::Stopping,
                );
            }
            3 => self.kill(),
            4 => {
                self.change(|one| one.condition == Condition::Running, Condition::Frozen);
            }
            5 | 6 => {
                self.change(|one| one.condition == Condition::Frozen, Condition::Running);
            }
            7 => self.lose_session(),
            8 => {
                let scene = &mut self.scene;
                let numbers = self.database.replay(scene);
                scene.note(|| format!("database: replayed as {numbers:?}"));
                if self.database.reset_sequence() {
                    self.scene.note(|| "database: sequence reset".into());
                    for one in &mut self.processes {
                        one.reading.sequence_was_reset();
                    }
                }
            }
            9 if self.scene.rng.random_ratio(1, 3) => self.pass(900..1_300),
            _ => {}
        }
        self.processes
            .retain(|one| one.is_living() || one.is_on_its_way());
    }

    fn change(&mut self, which: impl Fn(&Process) -> bool, condition: Condition) {
        if let Some(at) = self.pick(which) {
            let one = &mut self.processes[at];
            one.condition = condition;
            let number = one.number;
            self.scene.note(|| format!("relay {number}: {condition:?}"));
        }
    }

    fn kill(&mut self) {
        if let Some(at) = self.pick(Process::is_living) {
            let is_seen = self.scene.rng.random();
            let one = &mut self.processes[at];
            one.condition = Condition::Gone;
            if is_seen {
                self.database.session_gone(one.owner);
            }
            let number = one.number;
            self.scene
                .note(|| format!("relay {number} is killed, seen at once: {is_seen}"));
        }
    }

    fn lose_session(&mut self) {
        if let Some(at) = self.pick(Process::works) {
            let one = &mut self.processes[at];
            one.membership.session_lost();
            self.database.session_gone(one.owner);
            let number = one.number;
            self.scene
                .note(|| format!("relay {number} lost its session"));
        }
    }

    /// Lets everything come to its end, without any fault.
    fn quiesce(&mut self) {
        self.scene.note(|| "from here on nothing goes wrong".into());
        self.scene.is_calm = true;
        for one in &mut self.processes {
            if one.condition == Condition::Frozen {
                one.condition = Condition::Running;
            }
        }
        if !self
            .processes
            .iter()
            .any(|one| one.condition == Condition::Running)
        {
            self.join();
        }
        for _ in 0..ROUNDS {
            while !self.database.is_idle() {
                self.transact(true);
            }
            for at in 0..self.processes.len() {
                self.processes[at].finish(&mut self.database, &mut self.scene);
                self.end_if_over(at);
            }
            if self.database.is_empty() && self.processes.iter().all(Process::is_idle) {
                break;
            }
            self.scene.now += Duration::from_millis(20);
        }
    }

    fn check(&mut self) {
        let skipped = self.scene.history.close();
        let mut leaks = Vec::new();
        if !self.database.is_empty() {
            leaks.push("the outbox is not empty".to_owned());
        }
        for one in self.processes.iter().filter(|one| one.is_living()) {
            if !one.is_idle() {
                leaks.push(format!("relay {} is not idle", one.number));
            }
        }
        self.scene.history.counts.leaks += leaks.len() as u64;
        let counts = self.scene.history.counts;
        self.scene
            .note(|| format!("the end: {counts:?}, skipped {skipped:?}, {leaks:?}"));
    }
}
