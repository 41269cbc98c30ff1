//! One request for messages, and how it ends.

use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::consumer::Config;
use async_nats::jetstream::consumer::pull::BatchConfig;
use tokio::time::Instant;

use super::limits::Limits;

/// How long the server keeps a request.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often it says that it still has it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(6);

/// A request that the server has, for as long as it is open.
#[derive(Debug)]
pub(super) struct Pull {
    /// Where it is answered.
    inbox: String,
    /// How many messages may still come.
    left: usize,
    came: usize,
    /// Nothing else waits, so that a message that is too large for it must come alone.
    is_alone: bool,
    heard: Instant,
}

/// How the next request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// For what there is room for.
    Room,
    /// The same, once nothing else waits: the next message has no room before.
    RoomOnceEmpty,
    /// For one message, however large: it has no room at all.
    One,
}

/// What a status says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is still there.
    Open,
    /// It has ended as it should, and says how to ask anew.
    Ended(Ask),
    /// Another one would end the same way.
    Failed(String),
}

impl Pull {
    pub(super) fn new(inbox: String, request: &BatchConfig, is_alone: bool) -> Self {
        Self {
            inbox,
            left: request.batch,
            came: 0,
            is_alone,
            heard: Instant::now(),
        }
    }

    /// Whether a status is of this request, and not of one before it.
    pub(super) fn is_told_at(&self, subject: &str) -> bool {
        self.inbox == subject
    }

    /// A message came. Whether others may follow.
    pub(super) fn message(&mut self) -> bool {
        self.heard = Instant::now();
        self.came += 1;
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    pub(super) fn status(&mut self, code: StatusCode, description: &str) -> Status {
        self.heard = Instant::now();
        match code {
            StatusCode::IDLE_HEARTBEAT => Status::Open,
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => Status::Ended(Ask::Room),
            StatusCode::REQUEST_TERMINATED => {
                let says = description.to_ascii_lowercase();
                if says.contains("maxbytes") && !says.contains("maxrequest") {
                    let has_no_room = self.came == 0 && self.is_alone;
                    return Status::Ended(if has_no_room {
                        Ask::One
                    } else {
                        Ask::RoomOnceEmpty
                    });
                }
                if says.contains("leadership change") || says.contains("batch completed") {
                    return Status::Ended(Ask::Room);
                }
                Status::Failed(description.to_owned())
            }
            StatusCode::NO_RESPONDERS => Status::Failed(
                "nobody answers: the stream or the consumer was deleted, or has no leader now"
                    .into(),
            ),
            other => Status::Failed(format!("status {other}, {description}")),
        }
    }

    /// How long ago the server was heard, if that is too long.
    pub(super) fn silence(&self) -> Option<Duration> {
        let silent = self.heard.elapsed();
        (silent >= SILENCE).then_some(silent)
    }
}

/// A request for what there is room for, within what the consumer allows.
pub(super) fn request(room: Limits, consumer: &Config, ask: Ask) -> BatchConfig {
    let at_most = |value: usize, limit: i64| match usize::try_from(limit) {
        Ok(limit) if limit > 0 => value.min(limit),
        _ => value,
    };
    let expires = match consumer.max_expires {
        Duration::ZERO => EXPIRES,
        limit => EXPIRES.min(limit),
    };
    let (batch, bytes) = match ask {
        // Zero bytes are no limit.
        Ask::One => (1, 0),
        Ask::Room | Ask::RoomOnceEmpty => (at_most(room.messages, consumer.max_batch), room.bytes),
    };
    BatchConfig {
        batch,
        expires: Some(expires),
        max_bytes: at_most(bytes, consumer.max_bytes),
        idle_heartbeat: HEARTBEAT.min(expires / 3),
        ..BatchConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Limits = Limits {
        messages: 100,
        bytes: 1_000,
    };

    fn pull(is_alone: bool) -> Pull {
        let batch = BatchConfig {
            batch: 2,
            ..BatchConfig::default()
        };
        Pull::new("inbox.1".into(), &batch, is_alone)
    }

    #[test]
    fn a_request_ends_with_its_last_message() {
        let mut pull = pull(true);
        assert!(pull.is_told_at("inbox.1") && !pull.is_told_at("inbox.2"));
        assert!(pull.message());
        assert!(!pull.message());
    }

    #[test]
    fn a_message_without_room_is_asked_for_once_there_is_room_and_then_alone() {
        let ended = |pull: &mut Pull| {
            pull.status(
                StatusCode::REQUEST_TERMINATED,
                "Message Size Exceeds MaxBytes",
            )
        };
        assert_eq!(ended(&mut pull(false)), Status::Ended(Ask::RoomOnceEmpty));
        assert_eq!(ended(&mut pull(true)), Status::Ended(Ask::One));
        let mut some_came = pull(true);
        some_came.message();
        assert_eq!(ended(&mut some_came), Status::Ended(Ask::RoomOnceEmpty));
        let one = request(ROOM, &Config::default(), Ask::One);
        assert_eq!((one.batch, one.max_bytes), (1, 0));
    }

    #[test]
    fn what_ends_in_order_is_asked_again_and_everything_else_is_reported() {
        for (code, description, expected) in [
            (100, "Idle Heartbeat", Status::Open),
            (408, "Request Timeout", Status::Ended(Ask::Room)),
            (404, "No Messages", Status::Ended(Ask::Room)),
            (409, "Leadership Change", Status::Ended(Ask::Room)),
            (409, "Batch Completed", Status::Ended(Ask::Room)),
        ] {
            let code = StatusCode::from_u16(code).unwrap();
            assert_eq!(
                pull(true).status(code, description),
                expected,
                "{description}"
            );
        }
        for (code, description) in [
            (409, "Consumer Deleted"),
            (409, "Exceeded MaxRequestMaxBytes of 7"),
            (409, "Exceeded MaxWaiting"),
            (400, "Bad Request"),
            (503, ""),
        ] {
            let code = StatusCode::from_u16(code).unwrap();
            let status = pull(true).status(code, description);
            assert!(matches!(status, Status::Failed(_)), "{description}");
        }
    }

    #[test]
    fn a_request_stays_within_what_the_consumer_allows() {
        let free = request(ROOM, &Config::default(), Ask::Room);
        assert_eq!((free.batch, free.max_bytes), (100, 1_000));
        assert_eq!(free.expires, Some(EXPIRES));
        let strict = Config {
            max_batch: 7,
            max_bytes: 70,
            max_expires: Duration::from_secs(1),
            ..Config::default()
        };
        let bound = request(ROOM, &strict, Ask::Room);
        assert_eq!((bound.batch, bound.max_bytes), (7, 70));
        assert_eq!(bound.expires, Some(Duration::from_secs(1)));
        // The server refuses one of more than half.
        assert!(bound.idle_heartbeat <= Duration::from_millis(500));
    }
}
