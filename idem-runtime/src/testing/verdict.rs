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
