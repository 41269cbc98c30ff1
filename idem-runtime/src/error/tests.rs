use std::collections::HashSet;
use std::error::Error as _;

use super::*;

/// Every variant, and what a consumer does with it.
fn all() -> [(Error<sqlx::Error>, Disposition); 19] {
    use Disposition::{DeadLetter, Retry};
    [
        (handler(sqlx::Error::RowNotFound, false), Retry),
        (
            handler(sqlx::Error::ColumnNotFound("x".into()), true),
            Retry,
        ),
        (Error::InFlight, Retry),
        (Error::FingerprintMismatch, DeadLetter),
        (Error::RolledBack, Retry),
        (Error::CommitUnknown, Retry),
        (Error::ResultUndecodable, DeadLetter),
        (not_faithful(None), DeadLetter),
        (not_faithful(Some("secret".into())), DeadLetter),
        (Error::Unfinished, DeadLetter),
        (Error::EmptyKey, DeadLetter),
        (Error::ForeignTransaction, Retry),
        (
            Error::IsolationTooWeak {
                needed: "serializable",
            },
            DeadLetter,
        ),
        (
            Error::NotPermitted {
                grant: "GRANT USAGE ON SCHEMA idem TO teller".into(),
            },
            DeadLetter,
        ),
        (
            Error::TooLarge {
                size: 18_000_412,
                limit: 16_777_216,
            },
            DeadLetter,
        ),
        (Error::EventConflict, DeadLetter),
        (Error::DuplicateScopes(&[]), Retry),
        (Error::NotMigrated, Retry),
        (Error::Store(sqlx::Error::Protocol("secret".into())), Retry),
    ]
}

fn handler<E>(error: E, replayed: bool) -> Error<E> {
    Error::Handler { error, replayed }
}

fn not_faithful(cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Error<sqlx::Error> {
    Error::ResultNotFaithful {
        type_name: "bank::Receipt",
        cause,
    }
}

fn errors() -> [Error<sqlx::Error>; 19] {
    all().map(|(error, _)| error)
}

/// Guards: what the driver or serde says is the source, never the message.
#[test]
fn each_error_says_something_of_its_own_and_shows_no_data() {
    let messages: HashSet<_> = errors().iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), errors().len());
    for message in messages {
        assert!(
            message.len() > 20 && !message.contains("secret"),
            "{message}"
        );
    }
}

#[test]
fn an_error_names_what_is_to_be_changed() {
    let texts = errors().map(|error| error.to_string());
    let says = |text: &str| {
        texts
            .iter()
            .filter(|message| message.contains(text))
            .count()
    };
    assert_eq!(says("`bank::Receipt`"), 2);
    assert_eq!(says("`on_duplicate = \"skip\"`"), 2);
    assert_eq!(says("`key = \"...\"`"), 1);
    assert_eq!(says("`begin()`"), 1);
    assert_eq!(says("`serializable`"), 1);
    assert_eq!(says("18000412 bytes"), 1);
    assert_eq!(says("at most 16777216"), 1);
    assert_eq!(says("retention"), 1);
    assert_eq!(says("`GRANT USAGE ON SCHEMA idem TO teller`"), 1);
}

#[test]
fn only_what_the_database_or_serde_said_is_a_source() {
    let sources = errors().map(|error| error.source().map(ToString::to_string));
    let told: Vec<bool> = sources
        .iter()
        .flatten()
        .map(|s| s.contains("secret"))
        .collect();
    assert_eq!(told, [true, true]);
}

#[test]
fn what_would_end_the_same_way_every_time_is_a_dead_letter() {
    for (error, disposition) in all() {
        assert_eq!(error.disposition(), disposition, "{error:?}");
    }
    let unencoded = Error::<Infallible>::Store(sqlx::Error::Encode("".into()));
    assert_eq!(unencoded.disposition(), Disposition::DeadLetter);
}

/// Guards: a new kind of error is logged until somebody says that it is usual.
#[test]
fn only_a_handlers_error_a_wait_and_an_outage_are_usual() {
    let usual = errors().into_iter().filter(|error| !error.is_alarming());
    let usual: Vec<_> = usual.map(|error| error.label()).collect();
    assert_eq!(
        usual,
        [
            "handler_error",
            "replayed_error",
            "in_flight",
            "store_error"
        ]
    );
}

#[test]
fn an_error_stays_itself_for_another_handler() {
    let labels = errors().map(|error| error.label());
    let mapped = errors().map(|error| error.map_handler(|_| "mapped"));
    assert_eq!(mapped.each_ref().map(Error::label), labels);
    assert_eq!(
        labels.iter().collect::<HashSet<_>>().len(),
        labels.len() - 1
    );
    let [fresh, replayed, in_flight, ..] = mapped;
    assert!(matches!(replayed, Error::Handler { replayed: true, .. }));
    assert_eq!(fresh.into_handler().ok(), Some("mapped"));
    assert!(matches!(in_flight.into_handler(), Err(Error::InFlight)));
}
