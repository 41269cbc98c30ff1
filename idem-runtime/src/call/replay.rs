//! What an earlier delivery stored, read back.

use super::codec::{OnDuplicate, OnError};
use crate::error::Error;
use crate::key::StoredKey;
use crate::store::{Record, State};

/// What a later delivery with this fingerprint gets.
pub(super) fn replay<T, R, E>(
    record: &Record,
    fingerprint: Option<&StoredKey>,
    on_duplicate: &OnDuplicate<T, R>,
    on_error: &OnError<E>,
    result_version: u32,
) -> Result<R, Error<E>> {
    if record.state == State::Claimed {
        return Err(Error::Unfinished);
    }
    if let (Some(stored), Some(now)) = (&record.fingerprint, fingerprint)
        && stored != now.as_bytes()
    {
        return Err(Error::FingerprintMismatch);
    }
    if record.state == State::Error {
        let error = on_error.decode(record.body.as_deref());
        return Err(
            error.map_or(Error::ResultUndecodable, |error| Error::Handler {
                error,
                replayed: true,
            }),
        );
    }
    on_duplicate
        .decode(record, result_version)
        .ok_or(Error::ResultUndecodable)
}

/// Reads what the calls of one handler store, without one of them.
#[derive(Debug)]
pub struct Replayer<T, R, E> {
    on_duplicate: OnDuplicate<T, R>,
    on_error: OnError<E>,
    result_version: u32,
}

impl<T, R, E> Replayer<T, R, E> {
    /// From the arguments of an attribute.
    pub const fn new(
        on_duplicate: OnDuplicate<T, R>,
        on_error: OnError<E>,
        result_version: u32,
    ) -> Self {
        Self {
            on_duplicate,
            on_error,
            result_version,
        }
    }

    /// What a later delivery with this fingerprint gets.
    pub(crate) fn replay(
        &self,
        record: &Record,
        fingerprint: Option<&StoredKey>,
    ) -> Result<R, Error<E>> {
        let Self {
            on_duplicate,
            on_error,
            result_version,
        } = self;
        replay(record, fingerprint, on_duplicate, on_error, *result_version)
    }
}
