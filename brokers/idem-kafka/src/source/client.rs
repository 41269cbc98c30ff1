//! The thread that polls the client, and what it does when partitions come and go.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use idem_runtime::{Handover, SourceError};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, ClientContext, Message as _, Offset, Statistics, TopicPartitionList};

use super::commits;
use super::failure::failure;
use super::flow;
use super::shared::{Place, Shared};
use crate::connector::max_poll_interval;
use crate::envelope::incoming;
use crate::log::log;

/// How long nothing is polled if nothing is there.
const POLL: Duration = Duration::from_millis(100);

/// How long one poll waits. Without a wait it would end with the first line of the client's log.
const MOMENT: Duration = Duration::from_millis(1);

/// How long the brokers may take to say where partitions end.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) type Client = BaseConsumer<Context>;

/// What hears that partitions come and go. It is called by the thread that polls.
pub(super) struct Context {
    shared: Arc<Shared>,
    /// How long partitions may take to be handed over.
    handover: Duration,
}

/// Joins the group, on threads of its own, and stays until the source is stopped and nothing is in
/// hand.
pub(super) fn start(
    config: &ClientConfig,
    group: &str,
    topics: &[String],
    shared: &Arc<Shared>,
) -> Result<(), SourceError> {
    let refused = |error: &dyn std::fmt::Display| {
        SourceError::permanent(format!("a consumer of Kafka can't be made: {error}"))
    };
    let interval = max_poll_interval(config);
    let context = Context {
        shared: Arc::clone(shared),
        // The group would give them away by itself.
        handover: interval.mul_f64(0.9),
    };
    let mut client: Client = config
        .create_with_context(context)
        .map_err(|error| refused(&error))?;
    let wakes = Arc::clone(shared);
    client.set_nonempty_callback(move || wakes.wake());
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&names).map_err(|error| refused(&error))?;
    let (group, shared) = (group.to_owned(), Arc::clone(shared));
    let thread = thread::Builder::new().name("idem-kafka".into());
    let polling = thread.spawn(move || run(client, &group, &shared));
    polling.map(drop).map_err(|error| refused(&error))
}

fn run(client: Client, group: &str, shared: &Arc<Shared>) {
    let client = Arc::new(client);
    let committing = {
        let (client, shared) = (Arc::clone(&client), Arc::clone(shared));
        let thread = thread::Builder::new().name("idem-kafka commits".into());
        thread.spawn(move || commits::run(&client, &shared))
    };
    match committing {
        Ok(committing) => {
            poll(&client, group, shared);
            shared.state().is_over = true;
            shared.work.notify_all();
            // It has the client, too, which is closed where it is polled.
            let _ = committing.join();
        }
        Err(error) => shared.fail(SourceError::permanent(format!(
            "a thread that commits can't be had: {error}"
        ))),
    }
    // Closes it: partitions are given up, and the group hears that its member leaves. To unsubscribe
    // just before would be a rebalance of its own, and the group would wait for the session's end.
    drop(client);
}

/// Polls, whatever handlers do.
fn poll(client: &Client, group: &str, shared: &Shared) {
    loop {
        let state = shared.state();
        let mut state = shared.wait(state, POLL, |state| state.is_ready || state.is_done());
        if state.is_done() {
            return;
        }
        state.is_ready = false;
        drop(state);
        loop {
            wait_for_room(shared);
            flow::pause(client, shared);
            match client.poll(MOMENT) {
                None => break,
                Some(Ok(message)) => taken(&message, shared),
                Some(Err(error)) => {
                    let was_assigned = shared.state().was_assigned;
                    if let Some(failure) = failure(&error, group, was_assigned) {
                        shared.fail(failure);
                    } else {
                        tracing::debug!(%error, "the client of Kafka reports an error");
                    }
                }
            }
        }
    }
}

/// There may be room in a moment. A pause throws away what the client has fetched.
fn wait_for_room(shared: &Shared) {
    let limits = shared.limits;
    let mut state = shared.state();
    if state.is_full(limits) {
        state.poller_waits = true;
        state = shared.wait(state, POLL, |state| {
            state.has_room(limits) || state.is_leaving()
        });
        state.poller_waits = false;
    }
}

fn taken(message: &BorrowedMessage<'_>, shared: &Shared) {
    let place = (message.topic().to_owned(), message.partition());
    let incoming = incoming(message);
    let window = shared.limits.window;
    let mut state = shared.state();
    state.arrived(&place, message.offset(), window, incoming);
    drop(state);
    shared.changed.notify_one();
}

impl Context {
    /// Where partitions end now: what is before may have been handed out by another owner.
    fn assigned(&self, client: &Client, list: &TopicPartitionList) {
        let mut ends = list.clone();
        let asked = ends
            .set_all_offsets(Offset::End)
            .and_then(|()| client.offsets_for_times(ends, ANSWER_WITHIN));
        let ends = asked.unwrap_or_else(|error| {
            tracing::debug!(%error, "the ends of partitions are not known");
            TopicPartitionList::new()
        });
        let mut state = self.shared.state();
        for place in places(list) {
            let end = ends.find_partition(&place.0, place.1);
            let end = end.filter(|end| end.error().is_ok());
            let end = match end.map(|end| end.offset()) {
                Some(Offset::Offset(end)) => end,
                // If in doubt.
                _ => i64::MAX,
            };
            state.assign(place, end);
        }
    }

    /// Returns once nothing of these partitions runs any more, and what ran is committed.
    fn revoked(&self, client: &Client, places: &[Place]) {
        let shared = &self.shared;
        let end = Instant::now() + self.handover;
        let mut state = shared.state();
        let ids: Vec<u64> = places
            .iter()
            .filter_map(|place| state.assigned.get(place).copied())
            .collect();
        if ids.is_empty() {
            return;
        }
        state.buffer.forget(&ids);
        let mut partitions = Vec::with_capacity(ids.len());
        for id in &ids {
            if let Some(assignment) = state.assignments.get_mut(id) {
                assignment.revoked = true;
                partitions.push(assignment.partition);
            }
        }
        let (done, is_done) = mpsc::channel::<()>();
        if state.is_leaving() {
            // Nobody would hear of it. What is in hand is waited for below.
            drop(done);
        } else {
            let handover = Handover::new(move || drop(done));
            state.revoked.push_back((partitions, handover));
        }
        drop(state);
        shared.changed.notify_one();
        let left = end.saturating_duration_since(Instant::now());
        if is_done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(
                "partitions of Kafka were not let go of within `max.poll.interval.ms`: what is in hand of them may run a second time at \
                 their next owner"
            );
        }
        let mut state = shared.state();
        if state.is_leaving() {
            let left = end.saturating_duration_since(Instant::now());
            state = shared.wait(state, left, |state| state.in_hand(Some(&ids)) == 0);
        }
        drop(state);
        // After a commit that is under way.
        let _committing = shared
            .committing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let offsets = shared.state().to_commit(Some(&ids));
        if !offsets.is_empty()
            && !client.assignment_lost()
            && let Err(error) = commits::commit(client, shared, &offsets)
        {
            tracing::warn!(
                %error,
                "what was handled of partitions that are given up was not committed; it comes again, and is a duplicate"
            );
        }
        let mut state = shared.state();
        state.assigned.retain(|_, id| !ids.contains(id));
        state.assignments.retain(|id, _| !ids.contains(id));
        drop(state);
        shared.work.notify_all();
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, client: &Client, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assigned(client, list),
            Rebalance::Revoke(list) => self.revoked(client, &places(list)),
            Rebalance::Error(error) => {
                tracing::warn!(%error, "the group's partitions can't be assigned");
                let all: Vec<Place> = self.shared.state().assigned.keys().cloned().collect();
                self.revoked(client, &all);
            }
        }
    }

    fn post_rebalance(&self, client: &Client, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // A pause outlives its assignment.
            flow::resume(client, &self.shared, list);
        }
        // The poll that it was part of brought nothing, and more may be behind it.
        self.shared.wake();
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "the client of Kafka reports an error");
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    let elements = list.elements();
    let place = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        (element.topic().to_owned(), element.partition())
    };
    elements.iter().map(place).collect()
}
