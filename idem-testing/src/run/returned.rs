//! What a delivery returned, and whether a duplicate returned the same.

use std::fmt::{self, Debug};

use crate::comparison::difference::shortened_text;

/// A result as its `Debug` shows it; of a batch, one for each message, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Returned(Vec<String>);

impl Returned {
    pub(crate) fn new(output: &impl Debug) -> Self {
        Self(vec![format!("{output:?}")])
    }

    /// Of a batch.
    pub(crate) const fn of_batch(results: Vec<String>) -> Self {
        Self(results)
    }

    /// The results of this batch that another one with the same messages returned otherwise.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = (1..).zip(self.0.iter().zip(&other.0));
        let differing = pairs.filter(|(_, (expected, found))| !is_same(expected, found));
        let line = |(number, (expected, found)): (usize, (&String, &String))| {
            let (expected, found) = (shortened_text(expected), shortened_text(found));
            format!("message {number} returned {found}, and {expected} in one batch")
        };
        differing.map(line).collect()
    }

    /// The result of a function, which may be an `Outcome`: whether it was executed or replayed
    /// does not matter. `None` for a duplicate without a stored result.
    pub(crate) fn of_function(output: &impl Debug) -> Option<Self> {
        let text = format!("{output:?}");
        if text == "Replayed(())" {
            return None;
        }
        let inner = ["Executed(", "Replayed("]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix)?.strip_suffix(')'));
        Some(Self(vec![inner.unwrap_or(&text).to_owned()]))
    }
}

/// The entries of a map or a set may come in any order, so the parts of both texts are compared
/// without it.
fn is_same(one: &str, other: &str) -> bool {
    one == other || parts(one) == parts(other)
}

fn parts(text: &str) -> Vec<&str> {
    let is_between = |character| matches!(character, ',' | '{' | '}' | '[' | ']' | '(' | ')');
    let mut parts: Vec<_> = text.split(is_between).map(str::trim).collect();
    parts.sort_unstable();
    parts
}

impl PartialEq for Returned {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|(one, other)| is_same(one, other))
    }
}

impl Eq for Returned {}

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortened_text(&self.0.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use idem_runtime::Outcome;

    use super::*;

    #[test]
    fn results_are_equal_by_value() {
        let returned = |value: i64| Returned::new(&Some(value));
        assert_eq!(returned(7), returned(7));
        assert_ne!(returned(7), returned(8));
        assert_ne!(Returned::new(&Some(())), Returned::new(&None::<()>));
    }

    #[test]
    fn the_order_of_a_map_does_not_matter() {
        let map = || Returned::new(&(0..50).map(|n| (n, n * n)).collect::<HashMap<_, _>>());
        assert_eq!(map(), map());
        let other: HashMap<_, _> = (0..50).map(|n| (n, n)).collect();
        assert_ne!(map(), Returned::new(&other));
    }

    /// Guards: a result under another message's key is another result.
    #[test]
    fn the_order_of_a_batch_matters() {
        let batch = |results: [&str; 3]| Returned::of_batch(results.map(str::to_owned).into());
        let one = batch(["a", "{x, y}", "c"]);
        assert_eq!(one, batch(["a", "{y, x}", "c"]));
        let swapped = batch(["c", "{x, y}", "a"]);
        assert_ne!(one, swapped);
        assert_eq!(
            one.differences(&swapped),
            [
                "message 1 returned c, and a in one batch",
                "message 3 returned a, and c in one batch"
            ]
        );
        assert_ne!(one, Returned::of_batch(vec!["a".to_owned()]));
    }

    #[test]
    fn of_an_outcome_the_value_counts() {
        let executed = Returned::of_function(&Outcome::<_>::Executed(7));
        let replayed = Returned::of_function(&Outcome::<_>::Replayed(7));
        assert_eq!(executed, replayed);
        assert_ne!(executed, Returned::of_function(&Outcome::<_>::Replayed(8)));
        let skipped = Returned::of_function(&Outcome::<i64, ()>::Replayed(()));
        assert_eq!(skipped, None);
        assert_eq!(Returned::of_function(&7), executed);
    }
}
