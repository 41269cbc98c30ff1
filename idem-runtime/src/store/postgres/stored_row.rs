//! The columns of an event in a statement, and in its rows: text that no setting of the session
//! changes.

use sqlx::postgres::{PgRow, PgValueRef};
use sqlx::{Row as _, ValueRef as _};
use uuid::Uuid;

use super::literal::{array, name};
use crate::shard::SHARDS;
use crate::store::stored_event::StoredEvent;
use crate::store::{Home, Place, Selection, Topics};

/// What an event and its dead letter have in common, but for the ID.
pub(super) const EVENT: &str =
    "shard, topic, key, type, payload, content_type, headers, created_at";

/// How many bytes an event holds.
pub(super) const SIZE: &str = "octet_length(payload)::bigint + octet_length(headers) + octet_length(topic) + octet_length(type) \
    + coalesce(octet_length(key), 0)";

/// PostgreSQL's times are microseconds since the year 2000.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// A table of ours, wherever the session looks for tables.
pub(super) fn table(home: &Home, table: &str) -> String {
    format!("{}.{table}", name(&home.schema))
}

/// A time as its eight bytes in hexadecimal. This takes a fifth of what it costs to extract a
/// number, and can't fail.
pub(super) fn micros(column: &str) -> String {
    format!("encode(timestamptz_send({column}), 'hex')")
}

/// How many [`columns`] an event has.
pub(super) const COLUMNS: usize = 9;

/// The ID and the shard of a row that has this name, and what [`stored`] reads.
pub(super) fn columns(row: &str, each: impl Fn(&str) -> String) -> String {
    let columns: [_; COLUMNS] = [
        format!("{row}.id::text"),
        format!("{row}.shard"),
        format!("{row}.topic"),
        format!("{row}.key"),
        format!("{row}.type"),
        format!("encode({row}.payload, 'hex')"),
        format!("{row}.content_type"),
        format!("{row}.headers"),
        micros(&format!("{row}.created_at")),
    ];
    columns.map(|column| each(&column)).join(", ")
}

/// Whether a row is of these shards and topics.
pub(super) fn is_selected(selection: &Selection<'_>) -> String {
    format!(
        "shard BETWEEN 0 AND {} AND ('{}'::bigint >> shard::integer) & 1 = 1 AND {}",
        SHARDS - 1,
        selection.shards.bits(),
        is_of(selection.topics)
    )
}

pub(super) fn is_of(topics: &Topics) -> String {
    topics.0.as_ref().map_or_else(
        || "true".into(),
        |topics| format!("topic = ANY ({}::text[])", texts(topics)),
    )
}

/// An array of texts.
pub(super) fn texts<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    array(items.into_iter().map(|item| Some(item.into())))
}

/// An array of what needs no quotes in it.
pub(super) fn plain<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("'{{{}}}'", items.join(","))
}

/// `unnest('{1,2}'::bigint[], '{..}'::uuid[])`
pub(super) fn unnested<'a>(places: impl Iterator<Item = &'a Place> + Clone) -> String {
    format!(
        "unnest({}::bigint[], {}::uuid[])",
        plain(places.clone().map(|place| place.seq)),
        plain(places.map(|place| place.id)),
    )
}

/// Reads the columns from `topic` on.
pub(super) fn stored(row: &PgRow, id: Uuid, first: usize) -> Result<StoredEvent, sqlx::Error> {
    let bytes = |column| optional(row, column).map(Option::unwrap_or_default);
    Ok(StoredEvent {
        id,
        topic: bytes(first)?,
        key: optional(row, first + 1)?,
        kind: bytes(first + 2)?,
        payload: hex::decode(raw(row, first + 3)?.as_bytes().map_err(decode)?)
            .map_err(|error| decode(error.into()))?,
        content_type: bytes(first + 4)?,
        headers: bytes(first + 5)?,
        created_at: time(row, first + 6)?,
    })
}

/// Microseconds since 1970. `None`: infinity.
pub(super) fn time(row: &PgRow, column: usize) -> Result<Option<i64>, sqlx::Error> {
    let hexed: &str = row.try_get(column)?;
    let micros = u64::from_str_radix(hexed, 16).map_err(|error| decode(error.into()))?;
    Ok(match micros.cast_signed() {
        i64::MIN | i64::MAX => None,
        micros => micros.checked_add(EPOCH_2000),
    })
}

pub(super) fn uuid(row: &PgRow, column: usize) -> Result<Uuid, sqlx::Error> {
    optional_uuid(row, column)?.ok_or(sqlx::Error::RowNotFound)
}

pub(super) fn optional_uuid(row: &PgRow, column: usize) -> Result<Option<Uuid>, sqlx::Error> {
    let value = raw(row, column)?;
    if value.is_null() {
        return Ok(None);
    }
    let text = value.as_bytes().map_err(decode)?;
    let id = Uuid::try_parse_ascii(text).map_err(|error| decode(error.into()))?;
    Ok(Some(id))
}

fn optional(row: &PgRow, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let value = raw(row, column)?;
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_bytes()
        .map(|bytes| Some(bytes.to_vec()))
        .map_err(decode)
}

fn raw(row: &PgRow, column: usize) -> Result<PgValueRef<'_>, sqlx::Error> {
    row.try_get_raw(column)
}

fn decode(error: Box<dyn std::error::Error + Send + Sync>) -> sqlx::Error {
    sqlx::Error::Decode(error)
}
