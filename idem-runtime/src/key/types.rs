//! The foreign types that are keys: text, integers, byte strings, UUIDs, references and tuples.

use uuid::Uuid;

use super::{Key, KeyWriter};

impl Key for Uuid {
    fn name() -> String {
        "Uuid".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        out.uuid(*self);
    }
}

macro_rules! text_keys {
    ($($ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                "String".into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.text(self);
            }
        }
    )*};
}

text_keys!(
    str,
    String,
    Box<str>,
    std::sync::Arc<str>,
    std::borrow::Cow<'_, str>
);

macro_rules! integer_keys {
    ($($ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                stringify!($ty).into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.text(&self.to_string());
            }
        }
    )*};
}

integer_keys!(
    i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize
);

macro_rules! byte_keys {
    ($($(#[$generics:tt])? $ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                "bytes".into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.bytes(self);
            }
        }
    )*};
}

byte_keys!([u8], Vec<u8>, Box<[u8]>, std::sync::Arc<[u8]>);

impl<const N: usize> Key for [u8; N] {
    fn name() -> String {
        "bytes".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        out.bytes(self);
    }
}

impl<K: Key + ?Sized> Key for &K {
    fn name() -> String {
        K::name()
    }

    fn write(&self, out: &mut KeyWriter) {
        K::write(self, out);
    }
}

impl<K: Key + ?Sized> Key for &mut K {
    fn name() -> String {
        K::name()
    }

    fn write(&self, out: &mut KeyWriter) {
        K::write(self, out);
    }
}

macro_rules! tuple_keys {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Key),+> Key for ($($name,)+) {
            fn name() -> String {
                format!("({})", [$($name::name()),+].join(","))
            }

            fn write(&self, out: &mut KeyWriter) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                out.tuple(&[$($name),+]);
            }
        }
    )*};
}

tuple_keys! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
}
