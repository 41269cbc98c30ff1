//! Names and subjects.

use crate::error::NatsError;

/// The line of the protocol that a subject is in has 4 KiB, and the server ends the connection of who
/// sends a longer one.
const LONGEST: usize = 1_024;

/// Whether events can be published to it. What is sent to the servers themselves is none.
pub(crate) fn is_for_events(subject: &str) -> bool {
    let is_own = subject.starts_with("$JS.") || subject.starts_with("$SYS.");
    is_subject(subject) && !is_own && subject.len() <= LONGEST
}

/// Whether it is words with dots between them.
pub(crate) fn is_subject(subject: &str) -> bool {
    subject.split('.').all(|word| {
        let is_text = word.chars().all(|c| !c.is_whitespace() && !c.is_control());
        !word.is_empty() && is_text && !word.contains(['*', '>'])
    })
}

/// A subject in which `*` stands for a word, and `>` at the end for the rest.
pub(crate) fn pattern(text: &str) -> Result<String, NatsError> {
    let mut words = text.split('.').peekable();
    while let Some(word) = words.next() {
        let is_wildcard = word == "*" || (word == ">" && words.peek().is_none());
        if !is_wildcard && !is_subject(word) {
            return Err(NatsError::Subject);
        }
    }
    Ok(text.to_owned())
}

/// Whether a pattern takes all that another one does.
pub(crate) fn covers(pattern: &str, other: &str) -> bool {
    let mut others = other.split('.');
    for word in pattern.split('.') {
        match (word, others.next()) {
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (word, Some(other)) if word == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

/// The name of a stream or a consumer, which is a word of a subject and a folder of the server.
pub(crate) fn name(text: &str) -> Result<String, NatsError> {
    let is_name = text
        .chars()
        .all(|c| c.is_ascii_graphic() && !".*>/\\".contains(c));
    if text.is_empty() || text.len() > 255 || !is_name {
        return Err(NatsError::Name);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_published_to_is_words_with_dots_between_them() {
        for subject in ["orders", "orders.placed", "Ünïcode.x", "a.$b"] {
            assert!(is_subject(subject), "{subject}");
        }
        for no in [
            "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a.*", "a.>", "a*", "a\u{a0}b",
        ] {
            assert!(!is_subject(no), "{no:?}");
        }
    }

    #[test]
    fn events_are_not_sent_to_the_servers_themselves_nor_in_too_long_a_line() {
        assert!(is_for_events("orders") && is_for_events("$KV.bucket.key"));
        for no in [
            "$JS.API.STREAM.DELETE.EVENTS",
            "$SYS.REQ.SERVER.PING",
            "a b",
        ] {
            assert!(!is_for_events(no), "{no}");
        }
        assert!(is_for_events(&"x".repeat(1_024)) && !is_for_events(&"x".repeat(1_025)));
    }

    #[test]
    fn a_wildcard_is_a_word_of_its_own() {
        for subject in ["a", "*", ">", "a.*.b", "a.*.>"] {
            assert_eq!(pattern(subject).as_deref(), Ok(subject));
        }
        for no in ["", "a.>.b", "a*", ">a", "a b", "a.."] {
            assert_eq!(pattern(no), Err(NatsError::Subject), "{no}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_takes_and_no_more() {
        for (pattern, other) in [
            (">", "a"),
            ("a.>", "a.b.c"),
            ("a.*", "a.b"),
            ("a", "a"),
            ("a.>", "a.*"),
            ("a.>", "a.>"),
            ("*.b", "*.b"),
        ] {
            assert!(covers(pattern, other), "{pattern} {other}");
        }
        for (pattern, other) in [
            ("a.>", "a"),
            ("a.*", "a.b.c"),
            ("a.*", "a.>"),
            ("a", "b"),
            ("a.b", "a"),
            ("a.b", "a.*"),
        ] {
            assert!(!covers(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_name_is_one_word() {
        assert_eq!(name("ORDERS_1-x").as_deref(), Ok("ORDERS_1-x"));
        let long = "x".repeat(256);
        for no in ["", "a.b", "a b", "a*", ">", "a/b", "a\\b", "ä", &long] {
            assert_eq!(name(no), Err(NatsError::Name), "{no}");
        }
    }
}
