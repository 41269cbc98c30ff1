//! What a relay has seen of the outbox.
//!
//! Rows become visible in the order of their commits, and not of their numbers. So some numbers
//! below the highest one that was seen may still get a row. A look asks for exactly these, and for
//! what is above the cursor, in one statement on one snapshot: in two, an event could overtake an
//! earlier one of its key.

use crate::store::{Horizon, SeqRange};

/// More gaps than this are merged with their neighbours: a look then reads some rows again, which
/// costs time and nothing else.
const MOST_GAPS: usize = 1_000;

/// Where the next look begins.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    position: i64,
    /// Numbers up to the position that no look has found, in order and apart from each other.
    gaps: Vec<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    range: SeqRange,
    /// The mark of the look that missed it first.
    mark: u64,
}

impl Cursor {
    pub(super) const fn position(&self) -> i64 {
        self.position
    }

    /// The numbers below the position that may still come.
    pub(super) fn unseen(&self) -> Vec<SeqRange> {
        self.gaps.iter().map(|gap| gap.range).collect()
    }

    /// Whether this number may still come, or is above the position.
    pub(super) fn expects(&self, seq: i64) -> bool {
        seq > self.position
            || self
                .gaps
                .iter()
                .any(|gap| gap.range.first <= seq && seq <= gap.range.last)
    }

    /// Begins again at the first number.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes note of the numbers that a look of this cursor found, in order. Returns those that no
    /// transaction can bring any more, as far as the horizon says.
    pub(super) fn saw(&mut self, found: &[i64], horizon: Horizon) -> Vec<SeqRange> {
        let (below, above) = found.split_at(found.partition_point(|&seq| seq <= self.position));
        self.fill(below);
        let passed = self.gaps.iter().filter(|gap| gap.mark <= horizon.passed);
        let passed = passed.map(|gap| gap.range).collect();
        for &seq in above {
            if seq > self.position + 1 {
                self.gaps.push(Gap {
                    range: SeqRange {
                        first: self.position + 1,
                        last: seq - 1,
                    },
                    mark: horizon.mark,
                });
            }
            self.position = seq;
        }
        if self.gaps.len() > MOST_GAPS {
            self.merge();
        }
        passed
    }

    /// Takes numbers that were found out of the gaps.
    fn fill(&mut self, found: &[i64]) {
        if found.is_empty() {
            return;
        }
        let mut found = found.iter().copied().peekable();
        let mut gaps = Vec::with_capacity(self.gaps.len());
        for mut gap in std::mem::take(&mut self.gaps) {
            while found.next_if(|&seq| seq < gap.range.first).is_some() {}
            while let Some(seq) = found.next_if(|&seq| seq <= gap.range.last) {
                if seq > gap.range.first {
                    gaps.push(Gap {
                        range: SeqRange {
                            first: gap.range.first,
                            last: seq - 1,
                        },
                        ..gap
                    });
                }
                gap.range.first = seq + 1;
            }
            if gap.range.first <= gap.range.last {
                gaps.push(gap);
            }
        }
        self.gaps = gaps;
    }

    fn merge(&mut self) {
        let merged = self.gaps.chunks(2).map(|pair| Gap {
            range: SeqRange {
                first: pair[0].range.first,
                last: pair[pair.len() - 1].range.last,
            },
            mark: pair.iter().map(|gap| gap.mark).max().unwrap_or_default(),
        });
        self.gaps = merged.collect();
    }

    /// Forgets numbers that nothing can bring any more: some of those that [`saw`](Self::saw)
    /// returned.
    pub(super) fn give_up(&mut self, never: &[SeqRange]) {
        for range in never {
            let mut gaps = Vec::with_capacity(self.gaps.len() + 1);
            for gap in std::mem::take(&mut self.gaps) {
                let before = SeqRange {
                    first: gap.range.first,
                    last: gap.range.last.min(range.first.saturating_sub(1)),
                };
                let after = SeqRange {
                    first: gap.range.first.max(range.last.saturating_add(1)),
                    last: gap.range.last,
                };
                let rest = [before, after].into_iter();
                let rest = rest.filter(|rest| rest.first <= rest.last);
                gaps.extend(rest.map(|range| Gap { range, ..gap }));
            }
            self.gaps = gaps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64) -> SeqRange {
        SeqRange { first, last }
    }

    /// Nothing is given up.
    const OPEN: Horizon = Horizon { mark: 5, passed: 0 };

    #[test]
    fn numbers_that_were_jumped_over_are_asked_for_until_they_come() {
        let mut cursor = Cursor::default();
        cursor.saw(&[1, 2, 5, 9], OPEN);
        assert_eq!(cursor.position(), 9);
        assert_eq!(cursor.unseen(), [range(3, 4), range(6, 8)]);
        cursor.saw(&[3, 7, 10], OPEN);
        let rest = [range(4, 4), range(6, 6), range(8, 8)];
        assert_eq!((cursor.position(), cursor.unseen()), (10, rest.to_vec()));
        cursor.saw(&[4, 6, 8], OPEN);
        assert_eq!(cursor.unseen(), []);
        assert!(cursor.expects(11) && !cursor.expects(4));
    }

    #[test]
    fn a_number_is_given_up_by_a_later_look_than_the_one_that_missed_it() {
        let mut cursor = Cursor::default();
        let horizon = |mark, passed| Horizon { mark, passed };
        assert_eq!(cursor.saw(&[2], horizon(7, 7)), []);
        assert_eq!(cursor.saw(&[4], horizon(9, 6)), []);
        assert_eq!(cursor.saw(&[], horizon(9, 8)), [range(1, 1)]);
        cursor.give_up(&[range(1, 1)]);
        assert_eq!(cursor.unseen(), [range(3, 3)]);
        // It comes with the very look that would have given it up.
        assert_eq!(cursor.saw(&[3], horizon(12, 12)), []);
        assert_eq!(cursor.unseen(), []);
    }

    #[test]
    fn a_part_of_a_gap_can_be_given_up() {
        let mut cursor = Cursor::default();
        cursor.saw(&[10], OPEN);
        cursor.give_up(&[range(3, 4), range(9, 9)]);
        assert_eq!(cursor.unseen(), [range(1, 2), range(5, 8)]);
    }

    #[test]
    fn very_many_gaps_are_merged_and_none_is_lost() {
        let mut cursor = Cursor::default();
        let found: Vec<i64> = (1..=1_500).map(|n| n * 2).collect();
        cursor.saw(&found, OPEN);
        assert!(cursor.gaps.len() <= MOST_GAPS);
        assert!((1..3_000).step_by(2).all(|seq| cursor.expects(seq)));
        let again: Vec<i64> = (1..3_000).collect();
        cursor.saw(&again, OPEN);
        assert_eq!(cursor.unseen(), []);
    }
}
