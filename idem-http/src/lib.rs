//! HTTP for [`idem-runtime`](idem_runtime).
//!
//! [`HttpPublisher`] sends the events of an outbox to an endpoint. [`cloud_event`] is what the
//! endpoint reads them with, from this publisher or any other one.
//!
//! Events travel as CloudEvents 1.0, mapped by [`idem_runtime::cloud_events`].

mod binding;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod publisher;

pub use binding::cloud_event;
pub use publisher::{HttpPublisher, HttpPublisherError};
