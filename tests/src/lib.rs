//! Servers, proxies and helpers for the suites beside this file.

pub mod ui;
