//! The metrics of a consumer, without the feature.

use std::sync::Arc;
use std::time::SystemTime;

pub(crate) struct ConsumerMetrics;

#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl ConsumerMetrics {
    pub(crate) fn new(_consumer: Arc<str>) -> Self {
        Self
    }

    pub(crate) const fn received(&self, _topic: &str) {}

    pub(crate) const fn ended(&self, _scope: &'static str, _outcome: &'static str) {}

    pub(crate) const fn handled(&self, _topic: &str, _published_at: Option<SystemTime>) {}

    pub(crate) const fn holds(&self, _messages: usize, _bytes: usize, _parked: u64) {}
}
