//! The columns of an event in a statement, and in its rows.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::literal::{bytes, text};
use crate::shard::SHARDS;
use crate::store::outbox_store::list;
use crate::store::stored_event::StoredEvent;
use crate::store::{Place, Selection, Topics};

/// What an event and its dead letter have in common, but for the ID.
pub(super) const EVENT: &str =
    "shard, topic, key, type, payload, content_type, headers, created_at";

/// How many bytes an event holds.
pub(super) const SIZE: &str = "length(payload) + length(CAST(headers AS BLOB)) + length(CAST(topic AS BLOB)) \
    + length(CAST(type AS BLOB)) + coalesce(length(CAST(key AS BLOB)), 0)";

/// A BLOB of 16 bytes as the text of a UUID.
pub(super) fn uuid_text(column: &str) -> String {
    let part = |from, length| format!("substr(lower(hex({column})), {from}, {length})");
    [
        part(1, 8),
        part(9, 4),
        part(13, 4),
        part(17, 4),
        part(21, 12),
    ]
    .join(" || '-' || ")
}

/// Whether a row is of these shards and topics.
pub(super) fn is_selected(selection: &Selection<'_>) -> String {
    format!(
        "(shard BETWEEN 0 AND {} AND ({} >> shard) & 1 AND {})",
        SHARDS - 1,
        selection.shards.bits(),
        is_of(selection.topics)
    )
}

pub(super) fn is_of(topics: &Topics) -> String {
    topics.0.as_ref().map_or_else(
        || "TRUE".into(),
        |topics| {
            format!(
                "topic IN ({})",
                list(topics.iter().map(|topic| text(topic)))
            )
        },
    )
}

/// `(1, X'..'), (2, X'..')`
pub(super) fn values<'a>(places: impl IntoIterator<Item = &'a Place>) -> String {
    let places = places.into_iter();
    list(places.map(|place| format!("({}, {})", place.seq, bytes(place.id.as_bytes()))))
}

/// Reads the columns `topic, key, type, payload, content_type, headers, created_at`.
pub(super) fn stored(row: &SqliteRow, id: Uuid, first: usize) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        id,
        topic: row.try_get(first)?,
        key: row.try_get(first + 1)?,
        kind: row.try_get(first + 2)?,
        payload: row.try_get(first + 3)?,
        content_type: row.try_get(first + 4)?,
        headers: row.try_get(first + 5)?,
        created_at: row.try_get(first + 6)?,
    })
}

pub(super) fn uuid(row: &SqliteRow, column: usize) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}
