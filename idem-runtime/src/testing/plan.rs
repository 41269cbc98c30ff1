//! Which runs there are.

use std::env;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::fault::{Fault, Injury, Mode};
use super::verdict::Clean;
use crate::store::lab::LabError;

/// Repeats the named runs alone: `cut-reply@6`, or several with commas between.
pub(crate) const ONLY: &str = "IDEM_EXPLORE";

/// Points that are visited in a mode. Of more, those around each change and evenly spread ones: a statement has several
/// checkpoints.
const POINTS: usize = 150;

/// The same for processes to be killed, which cost more than connections.
const KILLS: usize = 30;

/// Runs of deliveries at once: which of them comes first at which step is up to the server and the scheduler.
const SCHEDULES: usize = 3;

/// The faults of these modes for a call of these steps. Where a call ends before it is pending for the k-th time only a run can
/// tell, so [`Mode::Dropped`] is not among them.
pub(crate) fn faults(
    modes: impl Iterator<Item = Mode>,
    steps: &[String],
    clean: &Clean,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for mode in modes {
        if mode == Mode::Killed {
            faults.extend(spread(steps, KILLS, 1).map(|point| Fault::at(mode, point)));
        } else if mode.lets_a_statement_fail() {
            let points = visited(steps).filter(|point| !clean.sure.contains(point));
            faults.extend(points.map(|point| Fault::at(mode, point)));
        } else if mode.is_at_write() {
            let points = spread(&clean.writes, POINTS, 3);
            faults.extend(points.map(|point| Fault::at(mode, point)));
        } else if mode.is_at_step() {
            faults.extend(visited(steps).map(|point| Fault::at(mode, point)));
        } else if mode == Mode::AtOnce {
            faults.extend([Fault::once(mode); SCHEDULES]);
        } else if !mode.has_point() {
            faults.push(Fault::once(mode));
        }
    }
    faults
}

/// The steps that are visited in each mode.
pub(crate) fn visited(steps: &[String]) -> impl Iterator<Item = u64> {
    spread(steps, POINTS, 3)
}

/// Pairs of an injury of the first delivery and one of the second, drawn by a seed.
pub(crate) fn doubled(faults: &[Fault], runs: usize, seed: u64) -> Vec<Fault> {
    let injuries = faults.iter().map(|fault| fault.first);
    let injuries: Vec<Injury> = injuries.filter(|injury| injury.mode.has_point()).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = || {
        Some(Fault {
            first: *injuries.choose(&mut random)?,
            second: injuries.choose(&mut random).copied(),
        })
    };
    (0..runs).map_while(|_| pair()).collect()
}

/// The runs that are asked for by name; `None`: all.
pub(crate) fn only() -> Result<Option<Vec<Fault>>, LabError> {
    env::var(ONLY).ok().map(|only| named(&only)).transpose()
}

fn named(only: &str) -> Result<Vec<Fault>, LabError> {
    only.split(',')
        .map(|fault| fault.trim().parse())
        .collect::<Result<_, String>>()
        .map_err(|error| {
            LabError::new(format!(
                "the variable {ONLY} says which runs to repeat, and {error}"
            ))
        })
}

/// All steps, or of too many the last ones before each change and the first ones after it, and others evenly spread.
fn spread(steps: &[String], points: usize, around: usize) -> impl Iterator<Item = u64> {
    let apart = steps.len().div_ceil(points).max(1);
    let changes: Vec<usize> = (1..steps.len())
        .filter(|index| steps[*index] != steps[index - 1])
        .collect();
    (0..steps.len())
        .filter(move |index| {
            index % apart == 0
                || index + around >= steps.len()
                || changes
                    .iter()
                    .any(|change| *index < change + around && index + around >= *change)
        })
        .map(|index| index as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixture::{clean, run_at};

    fn steps(of: &[(&str, usize)]) -> Vec<String> {
        of.iter()
            .flat_map(|(step, times)| std::iter::repeat_n((*step).to_owned(), *times))
            .collect()
    }

    fn points(steps: &[String], points: usize, around: usize) -> Vec<u64> {
        spread(steps, points, around).collect()
    }

    #[test]
    fn few_steps_are_all_visited() {
        assert_eq!(points(&steps(&[("a", 2), ("b", 3)]), 5, 3), [1, 2, 3, 4, 5]);
        assert!(points(&[], 5, 3).is_empty());
    }

    #[test]
    fn of_many_steps_those_around_each_change_are_visited_and_others_evenly_spread() {
        let steps = steps(&[("at the start", 20), ("after COMMIT", 20)]);
        assert_eq!(points(&steps, 4, 1), [1, 11, 20, 21, 31, 40]);
        assert_eq!(points(&steps, 4, 2), [1, 11, 19, 20, 21, 22, 31, 39, 40]);
    }

    /// The points of each mode that has a fault.
    fn planned(modes: &[Mode], steps: &[String], writes: &[String]) -> Vec<(Mode, Vec<u64>)> {
        let mut clean = clean(run_at(0), run_at(1));
        clean.writes = writes.to_vec();
        clean.sure.insert(2);
        let mut planned = Vec::<(Mode, Vec<u64>)>::new();
        for fault in faults(modes.iter().copied(), steps, &clean) {
            match planned.last_mut() {
                Some((mode, points)) if *mode == fault.mode() => points.push(fault.first.point),
                _ => planned.push((fault.mode(), vec![fault.first.point])),
            }
        }
        planned
    }

    #[test]
    fn each_mode_visits_the_points_that_it_has() {
        let (calls, rows) = (steps(&[("BEGIN", 1), ("COMMIT", 3)]), steps(&[("row", 2)]));
        let each_step = vec![1, 2, 3, 4];
        let mut expected = Vec::new();
        for mode in Mode::ALL {
            let points = match mode {
                // At the second nothing is left to fail.
                Mode::Interrupted | Mode::SerializationFailure | Mode::Deadlock => vec![1, 3, 4],
                Mode::Refused => vec![1, 2],
                // Only a run can tell.
                Mode::Dropped => continue,
                Mode::InARow => vec![0],
                Mode::AtOnce => vec![0; SCHEDULES],
                _ => each_step.clone(),
            };
            expected.push((mode, points));
        }
        assert_eq!(planned(&Mode::ALL, &calls, &rows), expected);
    }

    #[test]
    fn processes_are_killed_at_fewer_points_than_connections_are_cut_at() {
        let calls = steps(&[("a", 60)]);
        let planned = planned(&[Mode::CutReply, Mode::Killed], &calls, &[]);
        let [(Mode::CutReply, cuts), (Mode::Killed, kills)] = &planned[..] else {
            panic!("{planned:?}")
        };
        assert!(cuts.iter().copied().eq(1..=60));
        assert!(kills.iter().copied().eq((1..=60).step_by(2).chain([60])));
    }

    #[test]
    fn double_faults_are_drawn_from_those_that_have_points() {
        let points = [Fault::at(Mode::CutReply, 1), Fault::at(Mode::Killed, 2)];
        let all = [points[0], Fault::once(Mode::InARow), points[1]];
        let drawn = doubled(&all, 50, 7);
        assert_eq!(drawn.len(), 50);
        for fault in &drawn {
            let second = fault.second.map(|second| second.mode);
            for mode in [Some(fault.mode()), second] {
                assert!(
                    matches!(mode, Some(Mode::CutReply | Mode::Killed)),
                    "{fault}"
                );
            }
        }
        assert!(drawn.iter().any(|fault| Some(fault.first) != fault.second));
        // The same seed, the same runs.
        assert_eq!(doubled(&all, 50, 7), drawn);
        assert_ne!(doubled(&all, 50, 8), drawn);
        assert_eq!(doubled(&all[1..2], 50, 7), []);
    }

    /// Starts itself with the variable set, as no test may set one for the others.
    #[test]
    fn the_variable_names_the_runs() {
        let name = "cut-reply@6";
        if env::var(ONLY).is_ok_and(|only| only == name) {
            assert_eq!(only().unwrap(), Some(vec![Fault::at(Mode::CutReply, 6)]));
            return;
        }
        let (_, tests) = module_path!().split_once("::").unwrap();
        let this = format!("{tests}::the_variable_names_the_runs");
        let again = std::process::Command::new(env::current_exe().unwrap())
            .args([&this, "--exact"])
            .env(ONLY, name)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&again.stdout);
        assert!(told.contains("1 passed"), "{told}");
    }

    #[test]
    fn runs_are_named_with_commas_between() {
        let runs = named("cut-reply@6, in-a-row").unwrap();
        assert_eq!(
            runs,
            [Fault::at(Mode::CutReply, 6), Fault::once(Mode::InARow)]
        );
        let error = named("cut-reply@6,cut").unwrap_err().to_string();
        assert!(
            error.contains("IDEM_EXPLORE says which runs to repeat, and `cut` is no mode"),
            "{error}"
        );
    }
}
