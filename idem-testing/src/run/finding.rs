//! What is wrong with what a run left.

use super::baseline::Baseline;
use crate::comparison::compare::compare;
use crate::comparison::difference::Difference;
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Snapshot;
use crate::violation::ViolationKind;

/// A violation that a run found, and how it shows.
pub(crate) struct Finding {
    pub(crate) kind: ViolationKind,
    /// What is not as it should be, a line each.
    pub(crate) found: Vec<String>,
    /// The part that is there of an incomplete effect.
    pub(crate) present: Vec<String>,
}

impl Finding {
    pub(crate) const fn new(kind: ViolationKind, found: Vec<String>) -> Self {
        Self {
            kind,
            found,
            present: Vec::new(),
        }
    }
}

/// What is wrong with a copy that has held all of the effect, and now does not hold exactly the
/// same.
///
/// Nothing is masked here. A time, a generated identifier or a random token may differ from that of
/// another copy, but on one copy nothing may write it again.
pub(crate) fn check_unchanged(
    baseline: &Baseline,
    complete: &Snapshot,
    found: &Snapshot,
) -> Option<Finding> {
    if found.is_same(complete) {
        return None;
    }
    let is_base = compare(&baseline.base, found, &baseline.mask).is_empty();
    let kind = if is_base {
        ViolationKind::Lost
    } else {
        ViolationKind::DuplicateEffect
    };
    let changes = compare(complete, found, &Mask::exact(complete));
    Some(Finding::new(kind, lines(&changes)))
}

/// How much of the effect a copy holds.
pub(crate) enum State {
    Complete,
    /// Nothing of it, and so it may be.
    Nothing,
    Wrong(Finding),
}

/// The state of a copy that has not held all of the effect before.
///
/// After a successful delivery it must hold all of it, after any other nothing or all of it.
/// Deliveries `at_once` may have repeated it.
pub(crate) fn check(
    baseline: &Baseline,
    found: &Snapshot,
    succeeded: bool,
    at_once: bool,
) -> State {
    let from_end = compare(&baseline.end, found, &baseline.mask);
    if from_end.is_empty() {
        return State::Complete;
    }
    let from_base = compare(&baseline.base, found, &baseline.mask);
    let kind = match (succeeded, from_base.is_empty()) {
        (false, true) => return State::Nothing,
        (false, false) => ViolationKind::PartialCommit,
        (true, true) => ViolationKind::Lost,
        (true, false) if at_once => ViolationKind::DuplicateEffect,
        (true, false) => ViolationKind::WrongState,
    };
    State::Wrong(Finding {
        kind,
        found: lines(&from_end),
        present: if kind == ViolationKind::PartialCommit {
            lines(&from_base)
        } else {
            Vec::new()
        },
    })
}

/// What a copy holds other than a clean run left.
pub(crate) fn differences(baseline: &Baseline, found: &Snapshot) -> Vec<String> {
    lines(&compare(&baseline.end, found, &baseline.mask))
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let text: Vec<String> = differences.iter().map(ToString::to_string).collect();
    text.iter()
        .flat_map(|difference| difference.lines())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::fixture::run_at;
    use crate::run::fixture::baseline;

    const PART: [i64; 1] = [1];
    const WHOLE: [i64; 2] = [1, 2];
    const TWICE: [i64; 3] = [1, 2, 3];

    fn holding(rows: &[i64]) -> Snapshot {
        let rows = rows.iter().map(|id| vec![(*id).into()]);
        run_at(9).with("effect", "id key", rows)
    }

    fn clean() -> Baseline {
        baseline(holding(&[]), holding(&WHOLE))
    }

    fn checked(rows: &[i64], succeeded: bool, at_once: bool) -> Option<ViolationKind> {
        match check(&clean(), &holding(rows), succeeded, at_once) {
            State::Complete | State::Nothing => None,
            State::Wrong(finding) => Some(finding.kind),
        }
    }

    #[test]
    fn all_of_the_effect_is_right_at_any_time() {
        for (succeeded, at_once) in [(false, false), (true, false), (true, true)] {
            assert_eq!(checked(&WHOLE, succeeded, at_once), None);
        }
    }

    #[test]
    fn nothing_of_the_effect_is_right_until_a_delivery_succeeded() {
        assert_eq!(checked(&[], false, false), None);
        for at_once in [false, true] {
            assert_eq!(checked(&[], true, at_once), Some(ViolationKind::Lost));
        }
    }

    #[test]
    fn any_other_state_is_named_by_when_it_is_found() {
        for found in [&PART[..], &TWICE] {
            let checked = |succeeded, at_once| checked(found, succeeded, at_once);
            assert_eq!(checked(false, false), Some(ViolationKind::PartialCommit));
            assert_eq!(checked(true, false), Some(ViolationKind::WrongState));
            assert_eq!(checked(true, true), Some(ViolationKind::DuplicateEffect));
        }
    }

    /// Times are masked from copy to copy, and never on one.
    #[test]
    fn once_the_effect_is_complete_nothing_may_change() {
        let ended = |second: u64, time: &str| {
            let rows = [vec![1.into(), time.into()]];
            run_at(second).with("effect", "id key, at time", rows)
        };
        let first = ended(1, "2026-01-01 00:00:01.2");
        let baseline = Baseline {
            mask: Mask::calibrate(
                &[first.clone(), ended(4, "2026-01-01 00:00:04.2")],
                &holding(&[]).with("effect", "id key, at time", []),
            )
            .unwrap(),
            ..super::super::fixture::baseline(
                holding(&[]).with("effect", "id key, at time", []),
                first.clone(),
            )
        };
        let complete = ended(9, "2026-01-01 00:00:09.1");
        assert!(compare(&first, &complete, &baseline.mask).is_empty());
        let check = |found: &Snapshot| {
            let finding = check_unchanged(&baseline, &complete, found)?;
            Some((finding.kind, finding.found))
        };
        assert_eq!(check(&complete), None);
        let again = ended(9, "2026-01-01 00:00:09.3");
        assert!(compare(&first, &again, &baseline.mask).is_empty());
        let change = "  ~ id 1: at is '2026-01-01 00:00:09.3', should be '2026-01-01 00:00:09.1'";
        assert_eq!(
            check(&again),
            Some((
                ViolationKind::DuplicateEffect,
                vec!["table effect".into(), change.into()]
            ))
        );
        let undone = run_at(9).with("effect", "id key, at time", []);
        assert_eq!(check(&undone).unwrap().0, ViolationKind::Lost);
    }

    #[test]
    fn of_a_part_both_what_is_there_and_what_is_missing_are_shown() {
        let baseline = clean();
        let shown = |succeeded| {
            let State::Wrong(finding) = check(&baseline, &holding(&PART), succeeded, false) else {
                panic!("a part is wrong at any time");
            };
            (finding.present, finding.found)
        };
        let missing = [
            "table effect: 1 row, and should hold 2",
            "  - id 2 (the row is missing)",
        ];
        let there = [
            "table effect: 1 row, and should hold 0",
            "  + id 1 (the row should not be there)",
        ];
        assert_eq!(
            shown(false),
            (there.map(Into::into).into(), missing.map(Into::into).into())
        );
        assert_eq!(shown(true), (Vec::new(), missing.map(Into::into).into()));
    }

    #[test]
    fn only_all_of_the_effect_once_is_complete() {
        let is_complete = |rows: &[i64]| {
            let state = check(&clean(), &holding(rows), false, false);
            matches!(state, State::Complete)
        };
        assert!(is_complete(&WHOLE));
        for other in [&[][..], &PART, &TWICE] {
            assert!(!is_complete(other));
        }
    }
}
