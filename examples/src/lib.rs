//! Programs that a newcomer runs and copies; see the files beside this one.
