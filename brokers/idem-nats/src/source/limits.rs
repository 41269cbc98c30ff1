//! A bound of what is taken in advance.

/// How much may wait to be handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}
