//! How the end of a handler is stored, and read back for a duplicate.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fidelity::{Equal, written};
use crate::disposition::{Classify, Disposition};
use crate::error::NotFaithful;
use crate::store::{End, Record, State};

/// A result that can be stored and replayed: anything that serializes and deserializes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored for replay",
    label = "does not implement `Serialize` and `Deserialize`",
    note = "derive both for `{Self}`, or say `on_duplicate = \"skip\"`: then nothing is stored and a duplicate returns `Outcome::Replayed(())`"
)]
#[doc(hidden)]
pub trait Stored: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Stored for T {}

/// An error that can be stored and replayed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded",
    label = "does not implement `Serialize`, `Deserialize` and `Classify`",
    note = "derive the first two for `{Self}` and `impl idem_runtime::Classify` to say which errors are permanent, or leave out `on_error = \"record\"`",
    note = "a variant that holds what can't be stored, such as `sqlx::Error`, gets `#[serde(skip)]`, and `Classify` calls it `Disposition::Retry`: only permanent errors are stored"
)]
#[doc(hidden)]
pub trait Recorded: Serialize + DeserializeOwned + Classify {}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned + Classify> Recorded for E {}

type Encode<T> = fn(&T, Equal<T>) -> Result<Body, NotFaithful>;

/// `on_duplicate`.
#[derive(Debug)]
pub struct OnDuplicate<T, R> {
    equal: Equal<T>,
    encode: Encode<T>,
    decode: fn(&Record, u32) -> Option<R>,
}

/// `on_error`.
#[derive(Debug)]
pub struct OnError<E> {
    record: Option<Codec<E>>,
}

#[derive(Debug)]
struct Codec<E> {
    is_permanent: fn(&E) -> bool,
    equal: Equal<E>,
    encode: Encode<E>,
    decode: fn(Option<&[u8]>) -> Option<E>,
}

/// What is stored.
#[derive(Debug)]
pub(crate) enum Body {
    Nothing,
    Null,
    Json(Vec<u8>),
}

impl Body {
    pub(crate) fn as_result(&self) -> End<'_> {
        match self {
            Self::Nothing => End::Nothing,
            Self::Null => End::Result(None),
            Self::Json(json) => End::Result(Some(json)),
        }
    }

    pub(crate) fn as_error(&self) -> End<'_> {
        match self {
            Self::Json(json) => End::Error(Some(json)),
            Self::Nothing | Self::Null => End::Error(None),
        }
    }
}

fn to_json<T: Serialize + DeserializeOwned>(
    value: &T,
    equal: Equal<T>,
) -> Result<Body, NotFaithful> {
    let json = written(value, equal)?;
    Ok(if json == b"null" {
        Body::Null
    } else {
        Body::Json(json)
    })
}

fn from_json<T: DeserializeOwned>(json: Option<&[u8]>) -> Option<T> {
    serde_json::from_slice(json.unwrap_or(b"null")).ok()
}

/// `on_duplicate = "replay"`.
pub fn replay<T: Stored>(equal: Equal<T>) -> OnDuplicate<T, T> {
    OnDuplicate {
        equal,
        encode: to_json,
        decode: |record, version| {
            // `State::Done` was written under `skip`: an empty result would be a lie.
            if record.state == State::Result && record.result_version == version {
                from_json(record.body.as_deref())
            } else {
                None
            }
        },
    }
}

/// `on_duplicate = "skip"`.
pub fn skip<T>() -> OnDuplicate<T, ()> {
    OnDuplicate {
        equal: None,
        encode: |_, _| Ok(Body::Nothing),
        decode: |_, _| Some(()),
    }
}

/// `on_error = "rollback"`.
pub const fn rollback<E>() -> OnError<E> {
    OnError { record: None }
}

/// `on_error = "record"`.
pub fn record<E: Recorded>(equal: Equal<E>) -> OnError<E> {
    OnError {
        record: Some(Codec {
            is_permanent: |error| error.disposition() != Disposition::Retry,
            equal,
            encode: to_json,
            decode: from_json,
        }),
    }
}

impl<T, R> OnDuplicate<T, R> {
    pub(crate) fn encode(&self, value: &T) -> Result<Body, NotFaithful> {
        (self.encode)(value, self.equal)
    }

    pub(crate) fn decode(&self, record: &Record, version: u32) -> Option<R> {
        (self.decode)(record, version)
    }
}

impl<E> OnError<E> {
    pub(crate) const fn records(&self) -> bool {
        self.record.is_some()
    }

    /// What to store of `error`; `None` if it is not permanent, or nothing is recorded.
    pub(crate) fn encode(&self, error: &E) -> Option<Result<Body, NotFaithful>> {
        let codec = self.record.as_ref()?;
        (codec.is_permanent)(error).then(|| (codec.encode)(error, codec.equal))
    }

    pub(crate) fn decode(&self, body: Option<&[u8]>) -> Option<E> {
        (self.record.as_ref()?.decode)(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: State, body: &str) -> Record {
        Record {
            state,
            fingerprint: None,
            result_version: 2,
            body: Some(body.into()),
        }
    }

    fn replayed<T: Stored>(value: &T) -> Option<T> {
        let stored = replay(None).encode(value).unwrap();
        let mut record = record(State::Result, "");
        record.body = stored.as_result().body().map(<[u8]>::to_vec);
        replay(None).decode(&record, 2)
    }

    #[test]
    fn only_what_records_asks_for_effects_that_can_be_undone() {
        assert!(super::record::<String>(None).records());
        assert!(!rollback::<sqlx::Error>().records());
    }

    #[test]
    fn a_replay_takes_a_result_of_its_own_version_and_nothing_else() {
        let replayed = |state, version| replay::<i64>(None).decode(&record(state, "7"), version);
        assert_eq!(replayed(State::Result, 2), Some(7));
        for (state, version) in [
            (State::Result, 1),
            (State::Result, 3),
            (State::Done, 2),
            (State::Error, 2),
            (State::Claimed, 2),
        ] {
            assert_eq!(replayed(state, version), None, "{state:?} {version}");
        }
        assert_eq!(
            replay::<i64>(None).decode(&record(State::Result, "\"7\""), 2),
            None
        );
    }

    /// Guards: the feature `float_roundtrip` of `serde_json`. Found by the fuzz target `envelopes`.
    #[test]
    fn a_replayed_float_is_the_stored_one_to_the_last_bit() {
        for float in [
            1.104_503_394_625_658_7e300,
            0.1 + 0.2,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
        ] {
            let replayed = replayed(&float).map(f64::to_bits);
            assert_eq!(replayed, Some(float.to_bits()), "{float:e}");
        }
    }
}
