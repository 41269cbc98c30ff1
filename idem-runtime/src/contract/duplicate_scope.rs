//! Handlers that share a scope.

use std::collections::BTreeMap;
use std::fmt;

use super::registered::Contract;

/// The scopes that more than one handler of this program has, each with where they stand.
pub(crate) fn duplicate_scopes() -> Vec<DuplicateScope> {
    duplicates(inventory::iter::<Contract>())
}

/// A scope that more than one handler has: a key that one of them handled would be a duplicate for
/// the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateScope {
    /// The scope.
    pub scope: &'static str,
    /// Where its handlers stand: `src/payments.rs:12`.
    pub places: Vec<String>,
}

pub(super) fn duplicates<'a>(contracts: impl Iterator<Item = &'a Contract>) -> Vec<DuplicateScope> {
    let mut places: BTreeMap<&'static str, Vec<(&'static str, u32)>> = BTreeMap::new();
    for contract in contracts {
        places
            .entry(contract.scope)
            .or_default()
            .push((contract.file, contract.line));
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(scope, mut places)| {
            places.sort_unstable();
            let places = places
                .iter()
                .map(|(file, line)| format!("{file}:{line}"))
                .collect();
            DuplicateScope { scope, places }
        })
        .collect()
}

/// Says which handlers share a scope.
pub(crate) struct SharedScopes<'a>(pub(crate) &'a [DuplicateScope]);

impl fmt::Display for SharedScopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "two handlers have one scope, so that a message which one of them handled is a duplicate for the other, and is \
             lost there; give each a scope of its own with `scope = \"...\"`:",
        )?;
        for DuplicateScope { scope, places } in self.0 {
            write!(f, "\n  {scope}: {}", places.join(" and "))?;
        }
        Ok(())
    }
}
