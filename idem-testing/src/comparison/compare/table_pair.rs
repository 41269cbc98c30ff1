//! A table of both sides.

use crate::comparison::changes::Changes;
use crate::comparison::snapshot::Column;

/// What both runs did to a table that both have.
pub(super) struct TablePair<'a> {
    pub(super) name: &'a String,
    pub(super) columns: &'a [Column],
    pub(super) expected: Changes<'a>,
    pub(super) found: Changes<'a>,
}
