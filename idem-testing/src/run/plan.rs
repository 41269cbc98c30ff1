//! Which runs there are.

use std::env;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::baseline::Baseline;
use crate::fault::{Fault, FaultKind, FaultPoint};
use crate::setup_error::SetupError;

/// Repeats the named runs alone: `cut-reply@6`, or several with commas between.
pub(crate) const ONLY: &str = "IDEM_EXPLORE";

/// Points that are visited in a kind. Of more, those around each change and evenly spread ones: a
/// statement has several checkpoints.
const POINTS: usize = 150;

/// The same for processes to be killed, which cost more than connections.
const KILLS: usize = 30;

/// Runs of deliveries at once: which of them comes first at which step is up to the server and the
/// scheduler.
const SCHEDULES: usize = 3;

/// The faults of these kinds for a call of these steps. Only a run shows how often a call is
/// pending, so [`FaultKind::Dropped`] is not among them.
pub(crate) fn faults(
    kinds: impl Iterator<Item = FaultKind>,
    steps: &[String],
    baseline: &Baseline,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for kind in kinds {
        if kind == FaultKind::Killed {
            faults.extend(spread(steps, KILLS, 1).map(|point| Fault::at(kind, point)));
        } else if kind.fails_a_statement() {
            let points = visited(steps).filter(|point| !baseline.infallible.contains(point));
            faults.extend(points.map(|point| Fault::at(kind, point)));
        } else if kind.is_at_write() {
            let points = spread(&baseline.writes, POINTS, 3);
            faults.extend(points.map(|point| Fault::at(kind, point)));
        } else if kind.is_at_step() {
            faults.extend(visited(steps).map(|point| Fault::at(kind, point)));
        } else if kind == FaultKind::Concurrent {
            faults.extend([Fault::once(kind); SCHEDULES]);
        } else if !kind.has_point() {
            faults.push(Fault::once(kind));
        }
    }
    faults
}

/// The steps that are visited in each kind.
pub(crate) fn visited(steps: &[String]) -> impl Iterator<Item = u64> {
    spread(steps, POINTS, 3)
}

/// Pairs of a fault in the first delivery and one in the second, drawn by a seed.
pub(crate) fn doubled(faults: &[Fault], runs: usize, seed: u64) -> Vec<Fault> {
    let points = faults.iter().map(|fault| fault.first);
    let points: Vec<FaultPoint> = points.filter(|point| point.kind.has_point()).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = || {
        Some(Fault {
            first: *points.choose(&mut random)?,
            second: points.choose(&mut random).copied(),
        })
    };
    (0..runs).map_while(|_| pair()).collect()
}

/// The runs that are asked for by name; `None`: all.
pub(crate) fn only() -> Result<Option<Vec<Fault>>, SetupError> {
    env::var(ONLY).ok().map(|only| named(&only)).transpose()
}

fn named(only: &str) -> Result<Vec<Fault>, SetupError> {
    only.split(',')
        .map(|fault| fault.trim().parse())
        .collect::<Result<_, String>>()
        .map_err(|error| {
            SetupError::new(format!(
                "the variable {ONLY} says which runs to repeat, and {error}"
            ))
        })
}

/// All steps, or of too many the last ones before each change and the first ones after it, and
/// others evenly spread.
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
    use crate::comparison::fixture::run_at;
    use crate::run::fixture::baseline;

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

    /// The points of each kind that has a fault.
    fn planned(
        kinds: &[FaultKind],
        steps: &[String],
        writes: &[String],
    ) -> Vec<(FaultKind, Vec<u64>)> {
        let mut baseline = baseline(run_at(0), run_at(1));
        baseline.writes = writes.to_vec();
        baseline.infallible.insert(2);
        let mut planned = Vec::<(FaultKind, Vec<u64>)>::new();
        for fault in faults(kinds.iter().copied(), steps, &baseline) {
            match planned.last_mut() {
                Some((kind, points)) if *kind == fault.kind() => points.push(fault.first.point),
                _ => planned.push((fault.kind(), vec![fault.first.point])),
            }
        }
        planned
    }

    #[test]
    fn each_mode_visits_the_points_that_it_has() {
        let (calls, rows) = (steps(&[("BEGIN", 1), ("COMMIT", 3)]), steps(&[("row", 2)]));
        let each_step = vec![1, 2, 3, 4];
        let mut expected = Vec::new();
        for kind in FaultKind::ALL {
            let points = match kind {
                // The second step can't fail.
                FaultKind::Interrupted | FaultKind::SerializationFailure | FaultKind::Deadlock => {
                    vec![1, 3, 4]
                }
                FaultKind::FailedWrite => vec![1, 2],
                // Only a run shows how many there are.
                FaultKind::Dropped => continue,
                FaultKind::Sequential => vec![0],
                FaultKind::Concurrent => vec![0; SCHEDULES],
                _ => each_step.clone(),
            };
            expected.push((kind, points));
        }
        assert_eq!(planned(&FaultKind::ALL, &calls, &rows), expected);
    }

    #[test]
    fn processes_are_killed_at_fewer_points_than_connections_are_cut_at() {
        let calls = steps(&[("a", 60)]);
        let planned = planned(&[FaultKind::CutReply, FaultKind::Killed], &calls, &[]);
        let [(FaultKind::CutReply, cuts), (FaultKind::Killed, kills)] = &planned[..] else {
            panic!("{planned:?}")
        };
        assert!(cuts.iter().copied().eq(1..=60));
        assert!(kills.iter().copied().eq((1..=60).step_by(2).chain([60])));
    }

    #[test]
    fn double_faults_are_drawn_from_those_that_have_points() {
        let points = [
            Fault::at(FaultKind::CutReply, 1),
            Fault::at(FaultKind::Killed, 2),
        ];
        let all = [points[0], Fault::once(FaultKind::Sequential), points[1]];
        let drawn = doubled(&all, 50, 7);
        assert_eq!(drawn.len(), 50);
        for fault in &drawn {
            let second = fault.second.map(|second| second.kind);
            for kind in [Some(fault.kind()), second] {
                assert!(
                    matches!(kind, Some(FaultKind::CutReply | FaultKind::Killed)),
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
            assert_eq!(
                only().unwrap(),
                Some(vec![Fault::at(FaultKind::CutReply, 6)])
            );
            return;
        }
        let (_, tests) = module_path!().split_once("::").unwrap();
        let this = format!("{tests}::the_variable_names_the_runs");
        let again = std::process::Command::new(env::current_exe().unwrap())
            .args([&this, "--exact"])
            .env(ONLY, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&again.stdout);
        assert!(text.contains("1 passed"), "{text}");
    }

    #[test]
    fn runs_are_named_with_commas_between() {
        let runs = named("cut-reply@6, in-a-row").unwrap();
        assert_eq!(
            runs,
            [
                Fault::at(FaultKind::CutReply, 6),
                Fault::once(FaultKind::Sequential)
            ]
        );
        let error = named("cut-reply@6,cut").unwrap_err().to_string();
        assert!(
            error.contains(
                "IDEM_EXPLORE says which runs to repeat, and `cut` is not a kind of fault"
            ),
            "{error}"
        );
    }
}
