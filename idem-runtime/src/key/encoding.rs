//! A key and its published encoding: the tags, the bodies after them, and the lengths of a tuple's
//! parts.

use uuid::Uuid;

pub(super) const UUID: u8 = 0x01;
pub(super) const TEXT: u8 = 0x02;
pub(super) const BYTES: u8 = 0x03;
pub(super) const TUPLE: u8 = 0x04;
pub(super) const HASHED: u8 = 0x05;

/// A type whose values identify a delivery, the same on every delivery of it.
///
/// Implemented for text, integers, [`Uuid`](uuid::Uuid), byte strings, [`ContentHash`](crate::ContentHash), references
/// and tuples of those. `#[derive(Key)]` implements it for a newtype of any of them, with the same
/// encoding.
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

    /// Writes this value, as one part, in the [published format](crate::guide::key_encoding). It
    /// must write the same bytes for the same value in every release, since what is stored is
    /// compared byte for byte.
    fn write(&self, out: &mut KeyWriter);
}

/// Receives the parts of a [`Key`].
#[derive(Debug, Default)]
pub struct KeyWriter {
    pub(super) encoded: Vec<u8>,
    /// A part without content was written.
    pub(super) empty: bool,
}

impl KeyWriter {
    /// Text, verbatim. Text that is the canonical form of a UUID is the same key as that UUID.
    pub fn text(&mut self, text: &str) {
        match canonical_uuid(text) {
            Some(uuid) => self.part(UUID, uuid.as_bytes()),
            None => self.part(TEXT, text.as_bytes()),
        }
    }

    /// A UUID.
    pub fn uuid(&mut self, uuid: Uuid) {
        self.part(UUID, uuid.as_bytes());
    }

    /// Bytes, which are never the same key as text.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.part(BYTES, bytes);
    }

    /// Several parts as one.
    pub fn tuple(&mut self, parts: &[&dyn WriteKey]) {
        self.encoded.push(TUPLE);
        self.empty |= parts.is_empty();
        for part in parts {
            let mut inner = Self::default();
            part.write_to(&mut inner);
            self.empty |= inner.is_empty();
            write_length(&mut self.encoded, inner.encoded.len());
            self.encoded.append(&mut inner.encoded);
        }
    }

    fn part(&mut self, tag: u8, body: &[u8]) {
        self.encoded.push(tag);
        self.encoded.extend_from_slice(body);
        self.empty |= body.is_empty();
    }

    /// Whether what was written, or a part of it, has no content.
    pub(super) fn is_empty(&self) -> bool {
        self.empty || self.encoded.is_empty()
    }
}

/// [`Key::write`] behind a pointer, for the parts of a tuple.
pub trait WriteKey {
    /// Writes this part.
    fn write_to(&self, out: &mut KeyWriter);
}

impl<K: Key + ?Sized> WriteKey for K {
    fn write_to(&self, out: &mut KeyWriter) {
        self.write(out);
    }
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

pub(super) fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(u8::try_from(0x80 + length % 0x80).expect("eight bits"));
        length /= 0x80;
    }
    out.push(u8::try_from(length).expect("seven bits"));
}
