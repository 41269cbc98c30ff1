//! What identifies a delivery, and the bytes it is stored as.
//!
//! The encoding is published, in `docs/key_encoding.md`: changing it would make every delivery that was handled look
//! new.

mod content_hash;
mod encoding;
mod stored;
mod types;

pub use self::content_hash::ContentHash;
pub use self::encoding::KeyWriter;
pub(crate) use self::stored::StoredKey;

/// A type whose values identify a delivery, the same on every delivery of it.
///
/// Implemented for text, integers, [`Uuid`](uuid::Uuid), byte strings, [`ContentHash`], references and tuples of
/// those. `#[derive(Key)]` implements it for a newtype of any of them, with the same encoding.
///
/// ```
/// use idem_runtime::Key;
///
/// #[derive(Key)]
/// struct OrderId(uuid::Uuid);
/// ```
///
/// By hand, for a type of several fields, as one part or as a tuple of parts:
///
/// ```
/// use idem_runtime::{Key, KeyWriter};
///
/// struct InvoiceNumber {
///     year: u16,
///     number: u32,
/// }
///
/// impl Key for InvoiceNumber {
///     fn name() -> String {
///         "InvoiceNumber".into()
///     }
///
///     fn write(&self, out: &mut KeyWriter) {
///         out.tuple(&[&self.year, &self.number]);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stable key",
    label = "not a `Key`",
    note = "use the ID that the event's producer minted: text, an integer, `Uuid`, bytes, or a tuple of those; `#[derive(Key)]` covers a newtype",
    note = "a float, `Option`, `()` or a timestamp is not the same on every delivery, or not there on each; for a message without an ID use `ContentHash::of(bytes)`"
)]
pub trait Key {
    /// The name of the encoded type, as it stands in `idem.lock`.
    fn name() -> String;

    /// Writes this value, as one part, in the [published format](crate::guide::key_encoding): the same bytes for the same
    /// value in every release, since what is stored is compared byte for byte.
    fn write(&self, out: &mut KeyWriter);
}

#[cfg(test)]
mod tests;
