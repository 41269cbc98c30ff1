//! Which partitions are fetched from.

use std::sync::PoisonError;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::shared::{Assignment, Shared, State};

/// Pauses partitions that are a window past what is committed, and all of them while what waits to be
/// handed out has no room. The client throws away what it has fetched of them.
pub(super) fn pause<C: ConsumerContext>(client: &BaseConsumer<C>, shared: &Shared) {
    change(client, shared, true);
}

/// Resumes those that have room again.
pub(super) fn resume_with_room<C: ConsumerContext>(client: &BaseConsumer<C>, shared: &Shared) {
    change(client, shared, false);
}

/// Resumes partitions that were just assigned.
pub(super) fn resume<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    shared: &Shared,
    list: &TopicPartitionList,
) {
    let _flow = shared.flow.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = client.resume(list) {
        tracing::warn!(%error, "partitions of Kafka were not resumed");
    }
}

fn change<C: ConsumerContext>(client: &BaseConsumer<C>, shared: &Shared, pauses: bool) {
    let is_due = |state: &State, assignment: &Assignment| {
        if pauses {
            !assignment.paused && state.must_pause(assignment, shared.limits)
        } else {
            assignment.paused && state.may_resume(assignment, shared.limits)
        }
    };
    let has_any = |state: &State| {
        let mut all = state.assignments.values();
        all.any(|assignment| is_due(state, assignment))
    };
    if !has_any(&shared.state()) {
        return;
    }
    let _flow = shared.flow.lock().unwrap_or_else(PoisonError::into_inner);
    let mut list = TopicPartitionList::new();
    {
        let mut state = shared.state();
        let due = state
            .assignments
            .iter()
            .filter(|(_, assignment)| is_due(&state, assignment))
            .map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            if let Some(assignment) = state.assignments.get_mut(&id) {
                assignment.paused = pauses;
                list.add_partition(&assignment.place.0, assignment.place.1);
            }
        }
    }
    let changed = if pauses {
        client.pause(&list)
    } else {
        client.resume(&list)
    };
    if let Err(error) = changed {
        tracing::warn!(%error, pauses, "partitions of Kafka were not paused or resumed");
    }
}
