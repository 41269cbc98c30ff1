//! What the client reports, and whether a person must do something about it.

use idem_runtime::SourceError;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

/// `was_assigned`: the group has given the source partitions before, so that what is wrong will pass.
/// `None`: it concerns nobody.
pub(super) fn failure(error: &ClientError, group: &str, was_assigned: bool) -> Option<SourceError> {
    if let ClientError::MessageConsumptionFatal(code) = error {
        return Some(SourceError::permanent(format!(
            "the consumer of the group `{group}` has ended: {code}. If another instance has the same `group.instance.id`, give each its \
             own"
        )));
    }
    let Some(code) = error.rdkafka_error_code() else {
        return Some(SourceError::unavailable(format!(
            "Kafka can't be received from: {error}"
        )));
    };
    let needs_a_person = |reason: String| {
        Some(if was_assigned {
            SourceError::unavailable(reason)
        } else {
            SourceError::permanent(reason)
        })
    };
    match code {
        // The client goes on by itself, to another broker or on a new connection.
        Code::BrokerTransportFailure | Code::PartitionEOF | Code::OperationTimedOut => None,
        Code::UnknownTopicOrPartition | Code::UnknownTopic => needs_a_person(
            "a topic of the source does not exist: create it, or correct its name".into(),
        ),
        Code::TopicAuthorizationFailed => needs_a_person(
            "the user may not read a topic of the source: allow READ and DESCRIBE on it".into(),
        ),
        Code::GroupAuthorizationFailed => needs_a_person(format!(
            "the user may not use the group `{group}`: allow READ on it"
        )),
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::ClusterAuthorizationFailed => {
            needs_a_person(format!("the brokers refuse the user: {code}"))
        }
        Code::InconsistentGroupProtocol => needs_a_person(format!(
            "the members of the group `{group}` assign partitions in different ways: give all the same `partition.assignment.strategy`"
        )),
        Code::FencedInstanceId => Some(SourceError::permanent(
            "another instance has the same `group.instance.id`: give each its own",
        )),
        // The client leaves out what it can't read, and goes on. What is left out would be lost.
        Code::NotImplemented => Some(SourceError::permanent(
            "a message is compressed in a way that the client can't read: turn on the feature `zstd` of `rdkafka`",
        )),
        Code::BadCompression | Code::BadMessage | Code::InvalidMessage => {
            Some(SourceError::permanent(format!(
                "a message is damaged, and the client would leave it out: {code}. Commit the offset after it for the group `{group}` if it \
                 is to be left out"
            )))
        }
        Code::AutoOffsetReset => Some(SourceError::permanent(format!(
            "the offset of the group `{group}` is no longer in a topic, and `auto.offset.reset` is `error`: what is missing was deleted \
             by the topic's retention; reset the group's offset"
        ))),
        Code::PollExceeded => Some(SourceError::unavailable(format!(
            "the group `{group}` has given the partitions to others, since the consumer did not let go of revoked ones within \
             `max.poll.interval.ms`: lower the consumer's `shutdown_timeout`, or raise that setting"
        ))),
        _ => Some(SourceError::unavailable(format!(
            "Kafka can't be received from: {code}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, was_assigned: bool) -> Option<SourceError> {
        failure(
            &ClientError::MessageConsumption(code),
            "ledger",
            was_assigned,
        )
    }

    #[test]
    fn what_a_person_must_change_ends_the_consumer_at_its_start_and_never_later() {
        for code in [
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::GroupAuthorizationFailed,
            Code::SaslAuthenticationFailed,
        ] {
            assert!(of(code, false).unwrap().is_permanent(), "{code}");
            assert!(!of(code, true).unwrap().is_permanent(), "{code}");
        }
    }

    #[test]
    fn what_would_be_left_out_ends_the_consumer_at_any_time() {
        for code in [Code::NotImplemented, Code::BadMessage, Code::BadCompression] {
            assert!(of(code, true).unwrap().is_permanent(), "{code}");
        }
        let fenced = ClientError::MessageConsumptionFatal(Code::FencedInstanceId);
        let fenced = failure(&fenced, "ledger", true).unwrap();
        assert!(fenced.is_permanent() && fenced.reason().contains("group.instance.id"));
    }

    #[test]
    fn a_connection_that_breaks_is_no_news_and_a_cluster_that_is_away_is() {
        assert_eq!(of(Code::BrokerTransportFailure, true), None);
        assert!(!of(Code::AllBrokersDown, false).unwrap().is_permanent());
    }
}
