//! The columns of an event in a statement, and in its rows.

use sqlx::Row as _;
use sqlx::mysql::MySqlRow;
use uuid::Uuid;

use super::literal::bytes;
use crate::shard::SHARDS;
use crate::store::outbox_store::list;
use crate::store::stored_event::StoredEvent;
use crate::store::{Selection, Topics};

/// What an event and its dead letter have in common, but for the ID.
pub(super) const EVENT: &str =
    "shard, topic, `key`, type, payload, content_type, headers, created_at";

/// The outbox, in order of its numbers: no plan may depend on what the server thinks of it.
pub(super) const OUTBOX: &str = "idem_outbox FORCE INDEX (PRIMARY)";

/// What [`stored`] reads, of a row that has this name. Texts as they are stored, whatever character
/// set a handler chose for its session.
pub(super) fn columns(row: &str) -> String {
    let text = |column: &str| format!("CAST({row}.{column} AS BINARY)");
    format!(
        "{}, {row}.`key`, {}, {row}.payload, {}, {}, {}",
        text("topic"),
        text("type"),
        text("content_type"),
        text("headers"),
        micros(&format!("{row}.created_at"))
    )
}

/// Microseconds since 1970, whatever the session's time zone. NULL for a date of zeros.
pub(super) fn micros(time: &str) -> String {
    format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {time})")
}

/// A BINARY(16) as the text of a UUID.
pub(super) fn uuid_text(column: &str) -> String {
    let part = |from, length| format!("SUBSTR(HEX({column}), {from}, {length})");
    let parts = [
        part(1, 8),
        part(9, 4),
        part(13, 4),
        part(17, 4),
        part(21, 12),
    ];
    format!("LOWER(CONCAT_WS('-', {}))", parts.join(", "))
}

/// Whether a row is of these shards and topics.
pub(super) fn is_selected(selection: &Selection<'_>) -> String {
    format!(
        "(shard BETWEEN 0 AND {} AND ({} >> shard) & 1 AND {})",
        SHARDS - 1,
        selection.shards.bits().cast_unsigned(),
        is_of(selection.topics)
    )
}

/// A text would be equal to itself with blanks at its end.
pub(super) fn is_of(topics: &Topics) -> String {
    match &topics.0 {
        None => "TRUE".into(),
        Some(topics) if topics.is_empty() => "FALSE".into(),
        Some(topics) => format!(
            "CAST(topic AS BINARY) IN ({})",
            list(topics.iter().map(|topic| bytes(topic.as_bytes())))
        ),
    }
}

/// Reads the columns that [`columns`] names.
pub(super) fn stored(row: &MySqlRow, id: Uuid, first: usize) -> Result<StoredEvent, sqlx::Error> {
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

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A VARBINARY that holds a text.
pub(super) fn lossy(row: &MySqlRow, column: usize) -> Result<String, sqlx::Error> {
    let text: Vec<u8> = row.try_get(column)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
