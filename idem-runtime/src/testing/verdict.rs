//! Which law a database breaks, by what it holds.

use std::collections::BTreeSet;

use super::Snapshot;
use super::compare::compare;
use super::difference::Difference;
use super::mask::Mask;
use super::subject::Delivered;
use super::violation::Breach;

/// What every run is compared with.
pub(crate) struct Clean {
    /// Before the first delivery.
    pub(crate) base: Snapshot,
    /// After it.
    pub(crate) end: Snapshot,
    pub(crate) mask: Mask,
    /// How it ended: well, or with a permanent error that was stored.
    pub(crate) ended: Delivered,
    /// The rows that a delivery writes, where they are seen.
    pub(crate) writes: Vec<String>,
    /// Steps at which nothing is left to fail.
    pub(crate) sure: BTreeSet<u64>,
}

impl Clean {
    /// Whether a database holds all of the effect, once.
    pub(crate) fn is_end(&self, found: &Snapshot) -> bool {
        compare(&self.end, found, &self.mask).is_empty()
    }
}

/// A law that a run broke, and how that shows.
pub(crate) struct Broken {
    pub(crate) breach: Breach,
    /// What is not as it should be, a line each.
    pub(crate) found: Vec<String>,
    /// Of an effect that is there in part: what is there.
    pub(crate) already: Vec<String>,
}

impl Broken {
    pub(crate) const fn new(breach: Breach, found: Vec<String>) -> Self {
        Self {
            breach,
            found,
            already: Vec::new(),
        }
    }
}

/// Which law the state of a database breaks.
///
/// After a delivery that ended well all of the effect is there. After any other, nothing or all of it; and all of it once it
/// has been there.
pub(crate) fn judge(
    clean: &Clean,
    found: &Snapshot,
    ended: bool,
    whole_before: bool,
) -> Option<Broken> {
    let from_end = compare(&clean.end, found, &clean.mask);
    if from_end.is_empty() {
        return None;
    }
    let from_base = compare(&clean.base, found, &clean.mask);
    let breach = match (ended, whole_before, from_base.is_empty()) {
        (false, false, true) => return None,
        (false, false, false) => Breach::Torn,
        (true, _, true) | (_, true, true) => Breach::Lost,
        (_, true, _) => Breach::Doubled,
        (true, false, false) => Breach::Differs,
    };
    Some(Broken {
        breach,
        found: lines(&from_end),
        already: if breach == Breach::Torn {
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
    use crate::testing::fixture::{clean, run_at};

    const TORN: [i64; 1] = [1];
    const WHOLE: [i64; 2] = [1, 2];
    const TWICE: [i64; 3] = [1, 2, 3];

    fn holding(rows: &[i64]) -> Snapshot {
        let rows = rows.iter().map(|id| vec![(*id).into()]);
        run_at(9).with("effect", "id key", rows)
    }

    fn judged(rows: &[i64], ended: bool, whole_before: bool) -> Option<Breach> {
        let clean = clean(holding(&[]), holding(&WHOLE));
        judge(&clean, &holding(rows), ended, whole_before).map(|broken| broken.breach)
    }

    #[test]
    fn all_of_the_effect_breaks_no_law() {
        for (ended, whole_before) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(judged(&WHOLE, ended, whole_before), None);
        }
    }

    #[test]
    fn nothing_of_the_effect_is_well_until_a_delivery_ended_well_or_it_was_there() {
        assert_eq!(judged(&[], false, false), None);
        for (ended, whole_before) in [(false, true), (true, false), (true, true)] {
            assert_eq!(judged(&[], ended, whole_before), Some(Breach::Lost));
        }
    }

    #[test]
    fn anything_else_is_called_by_when_it_is_found() {
        for found in [&TORN[..], &TWICE] {
            assert_eq!(judged(found, false, false), Some(Breach::Torn));
            assert_eq!(judged(found, true, false), Some(Breach::Differs));
            assert_eq!(judged(found, false, true), Some(Breach::Doubled));
            assert_eq!(judged(found, true, true), Some(Breach::Doubled));
        }
    }

    #[test]
    fn of_a_part_both_what_is_there_and_what_is_missing_are_told() {
        let clean = clean(holding(&[]), holding(&WHOLE));
        let told = |ended| {
            let broken = judge(&clean, &holding(&TORN), ended, false).unwrap();
            (broken.already, broken.found)
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
            told(false),
            (there.map(Into::into).into(), missing.map(Into::into).into())
        );
        assert_eq!(told(true), (Vec::new(), missing.map(Into::into).into()));
    }

    #[test]
    fn the_end_is_all_of_the_effect_once() {
        let clean = clean(holding(&[]), holding(&WHOLE));
        assert!(clean.is_end(&holding(&WHOLE)));
        for other in [&[][..], &TORN, &TWICE] {
            assert!(!clean.is_end(&holding(other)));
        }
    }
}
