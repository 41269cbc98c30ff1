//! The thread that commits offsets, and resumes partitions.

use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::flow;
use super::shared::{Place, Shared};

/// Between two commits, so that one takes what was settled meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// After a commit that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// How long is waited for work at once.
const WAIT: Duration = Duration::from_secs(1);

/// Ends when the source is over.
pub(super) fn run<C: ConsumerContext>(client: &BaseConsumer<C>, shared: &Shared) {
    loop {
        let limits = shared.limits;
        let state = shared.wait(shared.state(), WAIT, |state| {
            state.is_over || state.has_work(limits)
        });
        let is_over = state.is_over;
        drop(state);
        if is_over {
            return;
        }
        flow::resume_with_room(client, shared);
        if let Err(error) = commit_all(client, shared) {
            tracing::warn!(%error, "offsets were not committed to Kafka; it is tried again");
            thread::sleep(PAUSE_AFTER_FAILURE);
        } else {
            thread::sleep(PAUSE);
        }
    }
}

fn commit_all<C: ConsumerContext>(client: &BaseConsumer<C>, shared: &Shared) -> KafkaResult<()> {
    let _committing = shared
        .committing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let offsets = shared.state().to_commit(None);
    if offsets.is_empty() {
        return Ok(());
    }
    commit(client, &offsets)?;
    shared.state().committed(&offsets);
    Ok(())
}

/// Waits until the group's coordinator has confirmed them.
pub(super) fn commit<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    offsets: &[(u64, Place, i64)],
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (_, (topic, partition), next) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
    }
    client.commit(&list, CommitMode::Sync)
}
