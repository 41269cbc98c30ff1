//! Reasons of failures, as they are stored.

/// How many characters of a reason are stored.
const LONGEST_REASON: usize = 1_000;

/// Short, and without the one character that PostgreSQL can't store.
pub(crate) fn storable(reason: &str) -> String {
    reason
        .chars()
        .filter(|&c| c != '\0')
        .take(LONGEST_REASON)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_up_to_its_limit_and_without_nul() {
        let reason = format!("\0no{}", "é".repeat(LONGEST_REASON));
        let stored = format!("no{}", "é".repeat(LONGEST_REASON - 2));
        assert_eq!(storable(&reason), stored);
    }
}
