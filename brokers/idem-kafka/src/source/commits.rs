//! The thread that commits offsets, and resumes partitions.

use std::slice;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
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
    let mut fails = false;
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
        match commit_all(client, shared) {
            Ok(()) => {
                fails = false;
                thread::sleep(PAUSE);
            }
            Err(error) => {
                if !fails {
                    tracing::warn!(
                        %error,
                        "offsets were not committed to Kafka; it is tried again until it succeeds, and this is not said again"
                    );
                }
                fails = true;
                thread::sleep(PAUSE_AFTER_FAILURE);
            }
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
    commit(client, shared, &offsets)
}

/// Waits until the group's coordinator has confirmed them, and notes which it has.
pub(super) fn commit<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    shared: &Shared,
    offsets: &[(u64, Place, i64)],
) -> KafkaResult<()> {
    let Err(error) = commit_at_once(client, offsets) else {
        shared.state().committed(offsets);
        return Ok(());
    };
    if !is_of_one_partition(&error) {
        return Err(error);
    }
    // The answer is the error of any of them. The others must not wait for that one.
    let mut ended = Ok(());
    for offset in offsets {
        let one = slice::from_ref(offset);
        match commit_at_once(client, one) {
            Ok(()) => shared.state().committed(one),
            Err(error) => ended = Err(error),
        }
    }
    ended
}

fn is_of_one_partition(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    )
}

fn commit_at_once<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    offsets: &[(u64, Place, i64)],
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (_, (topic, partition), next) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
    }
    client.commit(&list, CommitMode::Sync)
}
