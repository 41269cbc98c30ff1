//! What the client says of an event, and whom that concerns.

use std::time::Duration;

use idem_runtime::PublishError;
use rdkafka::error::RDKafkaErrorCode as Code;

/// What is known when an event was not confirmed.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) topic: &'a str,
    pub(super) bytes: usize,
    pub(super) timeout: Duration,
    /// Whether other events were confirmed since it was sent.
    pub(super) others_were_confirmed: bool,
}

/// Whether the producer confirms nothing more: it has given up what it had, or the brokers have
/// forgotten it, or know a newer one.
pub(super) const fn ends_producer(code: Code) -> bool {
    matches!(
        code,
        Code::Fatal
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::OutOfOrderSequenceNumber
    )
}

/// The verdict on an event that ended with this code.
pub(super) fn verdict(code: Code, attempt: Attempt<'_>) -> PublishError {
    let topic = attempt.topic;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            PublishError::permanent(format!(
                "there is no topic `{topic}`: create it, or correct the event's topic or `KafkaPublisher::map_topic`; then replay the \
                 dead letter"
            ))
        }
        Code::InvalidTopic => not_a_topic(topic),
        Code::MessageSizeTooLarge => PublishError::permanent(format!(
            "it has {} bytes without its headers, and the topic `{topic}` or the client takes fewer: raise `max.message.bytes` of \
             the topic and `message.max.bytes` of the client, or make the event smaller",
            attempt.bytes
        )),
        Code::InvalidRecord | Code::InvalidMessage => PublishError::permanent(format!(
            "the topic `{topic}` refuses the record: {code}. A compacted topic takes none without an ordering key"
        )),
        Code::TopicAuthorizationFailed => PublishError::retryable(format!(
            "the user may not write to the topic `{topic}`: allow WRITE and DESCRIBE on it"
        )),
        Code::MessageTimedOut => late(attempt),
        Code::BrokerDestroy => ended(code),
        code if ends_producer(code) => ended(code),
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::ClusterAuthorizationFailed
        | Code::OperationTimedOut => {
            PublishError::unavailable(format!("Kafka can't be published to: {code}"))
        }
        _ => PublishError::retryable(format!(
            "the topic `{topic}` does not take the event: {code}"
        )),
    }
}

pub(super) fn not_a_topic(topic: &str) -> PublishError {
    PublishError::permanent(format!(
        "its topic `{}` can't be a topic of Kafka, whose names are 1 to 249 ASCII letters, digits, `.`, `_` and `-`: correct it, or \
         map it by `KafkaPublisher::map_topic`",
        topic.escape_debug()
    ))
}

fn ended(code: Code) -> PublishError {
    PublishError::unavailable(format!(
        "the producer ended before the event was confirmed, and is made again: {code}"
    ))
}

fn late(attempt: Attempt<'_>) -> PublishError {
    let (limit, topic) = (attempt.timeout, attempt.topic);
    let reason = format!("Kafka has not confirmed it within {limit:?}");
    if attempt.others_were_confirmed {
        return PublishError::retryable(format!(
            "{reason}, but others: a partition of the topic `{topic}` has no leader, or fewer replicas in sync than \
             `min.insync.replicas`"
        ));
    }
    PublishError::unavailable(format!(
        "{reason}, nor any other event: no broker can be reached, or fewer replicas are in sync than `min.insync.replicas`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, others_were_confirmed: bool) -> PublishError {
        let attempt = Attempt {
            topic: "orders",
            bytes: 7,
            timeout: Duration::from_secs(1),
            others_were_confirmed,
        };
        verdict(code, attempt)
    }

    #[test]
    fn whom_a_failure_concerns_is_said_by_its_code() {
        for code in [
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
            Code::MessageSizeTooLarge,
            Code::InvalidTopic,
            Code::InvalidRecord,
        ] {
            let error = of(code, true);
            assert!(error.is_permanent(), "{code}");
            assert!(error.reason().contains("`orders`"), "{error}");
        }
        for code in [
            Code::Fatal,
            Code::ProducerFenced,
            Code::PurgeInflight,
            Code::AllBrokersDown,
            Code::ClusterAuthorizationFailed,
        ] {
            assert!(of(code, true).is_unavailable(), "{code}");
        }
        for code in [Code::TopicAuthorizationFailed, Code::NotEnoughReplicas] {
            let error = of(code, true);
            assert!(!error.is_permanent() && !error.is_unavailable(), "{code}");
        }
    }

    #[test]
    fn a_late_event_is_its_own_fault_if_others_were_confirmed_and_else_the_brokers() {
        let alone = of(Code::MessageTimedOut, true);
        assert!(!alone.is_permanent() && !alone.is_unavailable());
        assert!(of(Code::MessageTimedOut, false).is_unavailable());
    }
}
