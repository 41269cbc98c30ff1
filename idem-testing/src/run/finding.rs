//! What is wrong with what a run left.

use super::baseline::Baseline;
use crate::comparison::compare::compare;
use crate::comparison::difference::Difference;
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

/// What is wrong with the state of a database.
///
/// After a successful delivery it holds all of the effect. After any other, nothing or all of it, and all of it once it
/// was there.
pub(crate) fn check(
    baseline: &Baseline,
    found: &Snapshot,
    succeeded: bool,
    was_complete: bool,
) -> Option<Finding> {
    let from_end = compare(&baseline.end, found, &baseline.mask);
    if from_end.is_empty() {
        return None;
    }
    let from_base = compare(&baseline.base, found, &baseline.mask);
    let kind = match (succeeded, was_complete, from_base.is_empty()) {
        (false, false, true) => return None,
        (false, false, false) => ViolationKind::Partial,
        (true, _, true) | (_, true, true) => ViolationKind::Lost,
        (_, true, _) => ViolationKind::Repeated,
        (true, false, false) => ViolationKind::Differs,
    };
    Some(Finding {
        kind,
        found: lines(&from_end),
        present: if kind == ViolationKind::Partial {
            lines(&from_base)
        } else {
            Vec::new()
        },
    })
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

    fn checked(rows: &[i64], succeeded: bool, was_complete: bool) -> Option<ViolationKind> {
        let baseline = baseline(holding(&[]), holding(&WHOLE));
        check(&baseline, &holding(rows), succeeded, was_complete).map(|finding| finding.kind)
    }

    #[test]
    fn all_of_the_effect_is_right_at_any_time() {
        for (succeeded, was_complete) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            assert_eq!(checked(&WHOLE, succeeded, was_complete), None);
        }
    }

    #[test]
    fn nothing_of_the_effect_is_right_until_a_delivery_succeeded_or_it_was_there() {
        assert_eq!(checked(&[], false, false), None);
        for (succeeded, was_complete) in [(false, true), (true, false), (true, true)] {
            assert_eq!(
                checked(&[], succeeded, was_complete),
                Some(ViolationKind::Lost)
            );
        }
    }

    #[test]
    fn any_other_state_is_named_by_when_it_is_found() {
        for found in [&PART[..], &TWICE] {
            assert_eq!(checked(found, false, false), Some(ViolationKind::Partial));
            assert_eq!(checked(found, true, false), Some(ViolationKind::Differs));
            assert_eq!(checked(found, false, true), Some(ViolationKind::Repeated));
            assert_eq!(checked(found, true, true), Some(ViolationKind::Repeated));
        }
    }

    #[test]
    fn of_a_part_both_what_is_there_and_what_is_missing_are_shown() {
        let baseline = baseline(holding(&[]), holding(&WHOLE));
        let shown = |succeeded| {
            let finding = check(&baseline, &holding(&PART), succeeded, false).unwrap();
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
    fn the_end_is_all_of_the_effect_once() {
        let baseline = baseline(holding(&[]), holding(&WHOLE));
        assert!(baseline.is_complete(&holding(&WHOLE)));
        for other in [&[][..], &PART, &TWICE] {
            assert!(!baseline.is_complete(&holding(other)));
        }
    }
}
