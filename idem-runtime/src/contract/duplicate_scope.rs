//! Handlers that share a scope.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use super::registered::Contract;

/// A scope that more than one handler has: a key that one of them handled would be a duplicate for
/// the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateScope {
    /// The scope.
    pub scope: &'static str,
    /// Where its handlers are: `src/payments.rs:12`.
    pub places: Vec<String>,
}

/// The scopes that more than one handler of this program keeps keys in. They are known once all of
/// it is linked, so they are found once.
pub(crate) fn duplicate_scopes() -> &'static [DuplicateScope] {
    static FOUND: OnceLock<Vec<DuplicateScope>> = OnceLock::new();
    FOUND.get_or_init(|| duplicates(inventory::iter::<Contract>()))
}

/// The same, if `scope` is one of them.
pub(crate) fn shared(scope: &str) -> Option<&'static [DuplicateScope]> {
    let found = duplicate_scopes();
    let at = found.iter().position(|found| found.scope == scope)?;
    Some(&found[at..=at])
}

/// A file that is compiled as two modules has each of its handlers twice, and they are one. What
/// has no key shares none.
pub(super) fn duplicates<'a>(contracts: impl Iterator<Item = &'a Contract>) -> Vec<DuplicateScope> {
    let mut scopes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for contract in contracts.filter(|contract| contract.key.is_some()) {
        let place = (contract.file, contract.line, contract.function);
        scopes.entry(contract.scope).or_default().insert(place);
    }
    scopes
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(scope, places)| DuplicateScope {
            scope,
            places: places
                .iter()
                .map(|(file, line, _)| format!("{file}:{line}"))
                .collect(),
        })
        .collect()
}

/// Says which handlers share a scope.
pub(crate) struct SharedScopes<'a>(pub(crate) &'a [DuplicateScope]);

impl fmt::Display for SharedScopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "two handlers have one scope, so that a message which one of them handled is a \
             duplicate for the other, and is lost there; give each a scope of its own with \
             `scope = \"...\"`:",
        )?;
        for DuplicateScope { scope, places } in self.0 {
            write!(f, "\n  {scope}: {}", places.join(" and "))?;
        }
        Ok(())
    }
}
