//! Which changes of a key's type leave the stored keys what they are. It follows from the encoding
//! in `key.rs`.

/// What a change of type does to the keys that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    /// Every stored key is still found.
    All,
    /// Those whose text is the one canonical form of the new type, or the other way round.
    Canonical,
    /// Unknown: a type that names itself, or one that can't be named.
    Unknown,
    /// No stored key is found again.
    Nothing,
}

impl Kept {
    /// The worst of the parts decides.
    pub(super) fn of(old: &str, new: &str) -> Self {
        match (unhashed(old), unhashed(new)) {
            (Some(old), Some(new)) => return Self::of(old, new),
            (None, None) => {}
            // A long key is stored as its hash either way; no other is found again.
            _ => return Self::Nothing,
        }
        if old == new && old != "_" {
            return Self::All;
        }
        match (parts(old), parts(new)) {
            (Some(old), Some(new)) if old.len() == new.len() => old
                .iter()
                .zip(&new)
                .map(|(old, new)| Self::of(old, new))
                .max()
                .unwrap_or(Self::All),
            (Some(_), _) | (_, Some(_)) if old != "_" && new != "_" => Self::Nothing,
            _ => Self::of_single(old, new),
        }
    }

    fn of_single(old: &str, new: &str) -> Self {
        use Family::{Bytes, Integer, Text, Unknown, Uuid};
        match (Family::of(old), Family::of(new)) {
            (Unknown, _) | (_, Unknown) => Self::Unknown,
            (Text | Uuid, Uuid | Text) | (Integer, Text) | (Text, Integer) => Self::Canonical,
            (Integer, Integer) | (Bytes, Bytes) => Self::All,
            _ => Self::Nothing,
        }
    }
}

enum Family {
    Text,
    Uuid,
    Integer,
    Bytes,
    Unknown,
}

impl Family {
    fn of(name: &str) -> Self {
        match name {
            "String" => Self::Text,
            "Uuid" => Self::Uuid,
            "bytes" | "ContentHash" => Self::Bytes,
            "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64"
            | "u128" | "usize" => Self::Integer,
            _ => Self::Unknown,
        }
    }
}

/// What is stored as its hash, under `hash_key`.
fn unhashed(name: &str) -> Option<&str> {
    name.strip_prefix("hash(")?.strip_suffix(')')
}

/// The parts of a tuple.
fn parts(name: &str) -> Option<Vec<&str>> {
    let inner = name.strip_prefix('(')?.strip_suffix(')')?;
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, char) in inner.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_of_type_keeps_follows_the_encoding() {
        for (old, new, kept) in [
            ("String", "Uuid", Kept::Canonical),
            ("Uuid", "String", Kept::Canonical),
            ("String", "i64", Kept::Canonical),
            ("u32", "String", Kept::Canonical),
            ("i32", "i64", Kept::All),
            ("i64", "u32", Kept::All),
            ("ContentHash", "bytes", Kept::All),
            ("String", "bytes", Kept::Nothing),
            ("Uuid", "bytes", Kept::Nothing),
            ("Uuid", "i64", Kept::Nothing),
            ("(String,i32)", "(String,i64)", Kept::All),
            ("(String,i32)", "(Uuid,i64)", Kept::Canonical),
            ("(String,i32)", "(String,bytes)", Kept::Nothing),
            ("(String,i32)", "(String,i32,i32)", Kept::Nothing),
            ("(String,(i32,i32))", "(String,(i64,i64))", Kept::All),
            ("((i32,i32),String)", "((i64,i64),Uuid)", Kept::Canonical),
            ("Uuid", "(Uuid)", Kept::Nothing),
            ("Uuid", "hash(Uuid)", Kept::Nothing),
            ("hash(Uuid)", "Uuid", Kept::Nothing),
            ("hash(i32)", "hash(i64)", Kept::All),
            ("hash(String)", "hash(Uuid)", Kept::Canonical),
            ("hash(_)", "hash(_)", Kept::Unknown),
            ("OrderId", "Uuid", Kept::Unknown),
            ("_", "Uuid", Kept::Unknown),
            ("_", "(Uuid,Uuid)", Kept::Unknown),
            ("_", "_", Kept::Unknown),
        ] {
            assert_eq!(Kept::of(old, new), kept, "{old} to {new}");
        }
    }
}
