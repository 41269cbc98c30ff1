//! Medians, and how far they can be trusted.

use crate::arm::name;
use crate::measure::{Sample, Times};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) arm: &'static str,
    pub(crate) alone: Option<Summary>,
    pub(crate) in_a_row: Summary,
    pub(crate) to_bare: Ratio,
    pub(crate) to_rival: Option<Ratio>,
}

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) samples: usize,
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

/// A ratio of medians.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) rival: &'static str,
    pub(crate) in_a_row: f64,
    /// The least and the greatest of the same ratio over each fifth of the run.
    pub(crate) spread: (f64, f64),
    pub(crate) alone: Option<f64>,
}

const PARTS: usize = 5;

/// One line an arm; the bare transaction must be among them.
pub(crate) fn lines(times: &[Times]) -> Vec<Line> {
    let find = |arm: &str| times.iter().find(|times| times.arm == arm);
    let bare = find(name::BARE).expect("the bare transaction is always measured");
    times
        .iter()
        .map(|times| Line {
            arm: times.arm,
            alone: summary(&times.alone),
            in_a_row: summary(&times.in_a_row).expect("a plan has blocks of two or more"),
            to_bare: ratio(times, bare),
            to_rival: name::rival(times.arm)
                .and_then(find)
                .map(|rival| ratio(times, rival)),
        })
        .collect()
}

fn ratio(ours: &Times, theirs: &Times) -> Ratio {
    let rounds = ours.in_a_row.last().map_or(1, |sample| sample.round + 1);
    let part = |times: &Times, part: usize| {
        let samples = times.in_a_row.iter();
        let samples = samples.filter(|sample| sample.round * PARTS / rounds == part);
        quantile(samples.map(|sample| sample.micros).collect(), 0.5)
    };
    let parts = (0..PARTS).filter_map(|at| Some(part(ours, at)? / part(theirs, at)?));
    let spread = parts.fold((f64::INFINITY, 0.0_f64), |(least, greatest), ratio| {
        (least.min(ratio), greatest.max(ratio))
    });
    let over = |ours, theirs| Some(median(ours)? / median(theirs)?);
    Ratio {
        rival: theirs.arm,
        in_a_row: over(&ours.in_a_row, &theirs.in_a_row).unwrap_or(f64::NAN),
        spread,
        alone: over(&ours.alone, &theirs.alone),
    }
}

fn median(samples: &[Sample]) -> Option<f64> {
    quantile(samples.iter().map(|sample| sample.micros).collect(), 0.5)
}

fn summary(samples: &[Sample]) -> Option<Summary> {
    let at = |share| quantile(samples.iter().map(|sample| sample.micros).collect(), share);
    Some(Summary {
        samples: samples.len(),
        p10: at(0.1)?,
        median: at(0.5)?,
        p90: at(0.9)?,
    })
}

/// The value below which `share` of the values lie, interpolated.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a few thousand samples"
)]
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let place = share * (values.len().checked_sub(1)?) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (below, above) = (*values.get(low)?, *values.get(high)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(vec![], 0.5), None);
        assert_eq!(quantile(vec![3.0], 0.9), Some(3.0));
        assert_eq!(quantile(vec![4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(quantile(vec![1.0, 2.0, 3.0], 1.0), Some(3.0));
    }
}
