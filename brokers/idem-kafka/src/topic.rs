//! Names of topics.

/// Whether a topic can be called so.
pub(crate) fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

/// Whether it stands for topics: a name, or a pattern that begins with `^`.
pub(crate) fn is_subscription(name: &str) -> bool {
    is_topic(name) || (name.len() > 1 && name.starts_with('^') && !name.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_name_that_the_brokers_take() {
        for topic in ["orders", "orders.placed", "a_b-C9", &"x".repeat(249)] {
            assert!(is_topic(topic), "{topic}");
        }
        for no in ["", ".", "..", "a b", "ä", "a/b", "a\0", &"x".repeat(250)] {
            assert!(!is_topic(no), "{no:?}");
        }
        assert!(is_subscription("orders") && is_subscription("^orders\\..*"));
        assert!(!is_subscription("^") && !is_subscription("a b"));
    }
}
