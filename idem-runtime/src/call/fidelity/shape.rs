//! A hash of what a value shows to serde.
//!
//! JSON writes `Some(())` and `None` alike, and a map in whatever order it comes. Serde's data
//! model tells the first two apart, and here the entries of a map and the elements of a list are
//! added up, so that their order does not count. A list keeps its order in JSON anyway; a set has
//! none.

use std::fmt::Display;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::mix::{hash, mix};

type Error = serde_json::Error;

/// What `value` shows.
///
/// # Errors
/// The value's own.
pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<u64, Error> {
    value.serialize(Shape)
}

/// Tells apart what serde tells apart.
#[derive(Clone, Copy)]
enum Kind {
    Bool = 1,
    Signed,
    Unsigned,
    Float32,
    Float64,
    Char,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    Newtype,
    Variant,
    List,
    Tuple,
    Map,
    Struct,
}

const fn scalar(kind: Kind, bits: u64) -> u64 {
    mix(kind as u64, bits)
}

#[allow(clippy::cast_possible_truncation, reason = "its halves")]
const fn wide(kind: Kind, bits: u128) -> u64 {
    mix(scalar(kind, bits as u64), (bits >> 64) as u64)
}

fn variant(index: u32, name: &str) -> u64 {
    hash(scalar(Kind::Variant, index.into()), name.as_bytes())
}

struct Shape;

/// What has parts: `start` says what it is, `sum` what is in it.
struct Parts {
    start: u64,
    count: u64,
    sum: u64,
    key: u64,
}

impl Parts {
    const fn of(start: u64) -> Self {
        Self {
            start,
            count: 0,
            sum: 0,
            key: 0,
        }
    }

    const fn kind(kind: Kind) -> Self {
        Self::of(kind as u64)
    }

    /// Adds a part whose place does not count.
    fn anywhere<T: Serialize + ?Sized>(&mut self, name: u64, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mix(name, of(value)?));
        Ok(())
    }

    /// Adds the next part.
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.anywhere(self.count, value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.anywhere(hash(0, name.as_bytes()), value)
    }

    const fn whole(&self) -> u64 {
        mix(mix(self.start, self.count), self.sum)
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty) $kind:ident $convert:expr;)*) => {$(
        fn $method(self, value: $type) -> Result<u64, Error> {
            let bits: fn($type) -> u64 = $convert;
            Ok(scalar(Kind::$kind, bits(value)))
        }
    )*};
}

impl Serializer for Shape {
    type Ok = u64;
    type Error = Error;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    scalars! {
        serialize_bool(bool) Bool u64::from;
        serialize_i8(i8) Signed |value| i64::from(value).cast_unsigned();
        serialize_i16(i16) Signed |value| i64::from(value).cast_unsigned();
        serialize_i32(i32) Signed |value| i64::from(value).cast_unsigned();
        serialize_i64(i64) Signed i64::cast_unsigned;
        serialize_u8(u8) Unsigned u64::from;
        serialize_u16(u16) Unsigned u64::from;
        serialize_u32(u32) Unsigned u64::from;
        serialize_u64(u64) Unsigned |value| value;
        serialize_f32(f32) Float32 |value| value.to_bits().into();
        serialize_f64(f64) Float64 f64::to_bits;
        serialize_char(char) Char u64::from;
    }

    fn serialize_i128(self, value: i128) -> Result<u64, Error> {
        Ok(wide(Kind::Signed, value.cast_unsigned()))
    }

    fn serialize_u128(self, value: u128) -> Result<u64, Error> {
        Ok(wide(Kind::Unsigned, value))
    }

    fn serialize_str(self, value: &str) -> Result<u64, Error> {
        Ok(hash(Kind::Text as u64, value.as_bytes()))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<u64, Error> {
        self.serialize_str(&value.to_string())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<u64, Error> {
        Ok(hash(Kind::Bytes as u64, value))
    }

    fn serialize_none(self) -> Result<u64, Error> {
        Ok(Kind::None as u64)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Error> {
        Ok(scalar(Kind::Some, of(value)?))
    }

    fn serialize_unit(self) -> Result<u64, Error> {
        Ok(Kind::Unit as u64)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, Error> {
        Ok(Kind::Unit as u64)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
    ) -> Result<u64, Error> {
        Ok(variant(index, name))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u64, Error> {
        Ok(scalar(Kind::Newtype, of(value)?))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<u64, Error> {
        Ok(mix(variant(index, name), of(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Error> {
        Ok(Parts::kind(Kind::List))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Error> {
        Ok(Parts::kind(Kind::Tuple))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        Ok(Parts::kind(Kind::Tuple))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts, Error> {
        Ok(Parts::of(variant(index, name)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Error> {
        Ok(Parts::kind(Kind::Map))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        Ok(Parts::kind(Kind::Struct))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts, Error> {
        Ok(Parts::of(variant(index, name)))
    }
}

/// One of serde's seven traits for what has parts.
macro_rules! parts {
    ($($trait:ident $add:ident($($name:ident: $type:ty)?) $how:ident($($argument:expr)?);)*) => {$(
        impl $trait for Parts {
            type Ok = u64;
            type Error = Error;

            fn $add<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), Error> {
                self.$how($($argument,)? value)
            }

            fn end(self) -> Result<u64, Error> {
                Ok(self.whole())
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element() anywhere(0);
    SerializeTuple serialize_element() next();
    SerializeTupleStruct serialize_field() next();
    SerializeTupleVariant serialize_field() next();
    SerializeStruct serialize_field(name: &'static str) field(name);
    SerializeStructVariant serialize_field(name: &'static str) field(name);
}

impl SerializeMap for Parts {
    type Ok = u64;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = of(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.anywhere(self.key, value)
    }

    fn end(self) -> Result<u64, Error> {
        Ok(self.whole())
    }
}
