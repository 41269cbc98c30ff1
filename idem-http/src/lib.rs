//! HTTP for [`idem-runtime`](idem_runtime).
//!
//! [`HttpPublisher`] posts the events of an outbox to an endpoint. [`cloud_event`] reads an event
//! in the endpoint, from this publisher or any other one.
//!
//! Events travel as CloudEvents 1.0, mapped by [`idem_runtime::cloud_events`].

mod binding;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod publisher;

pub use binding::cloud_event;
pub use publisher::{HttpPublisher, HttpPublisherError};
