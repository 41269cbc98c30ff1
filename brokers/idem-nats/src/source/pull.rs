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
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(10);

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

/// What a status says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is still there.
    Open,
    /// It has ended as it should. `Some`: the next message is larger than it may be.
    Ended { is_too_large: bool },
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
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => Status::Ended {
                is_too_large: false,
            },
            StatusCode::REQUEST_TERMINATED => {
                let says = description.to_ascii_lowercase();
                if says.contains("maxbytes") && !says.contains("maxrequest") {
                    let is_too_large = self.came == 0 && self.is_alone;
                    return Status::Ended { is_too_large };
                }
                if says.contains("leadership change") || says.contains("batch completed") {
                    return Status::Ended {
                        is_too_large: false,
                    };
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
pub(super) fn request(room: Limits, consumer: &Config, is_too_large: bool) -> BatchConfig {
    let at_most = |value: usize, limit: i64| match usize::try_from(limit) {
        Ok(limit) if limit > 0 => value.min(limit),
        _ => value,
    };
    let expires = match consumer.max_expires {
        Duration::ZERO => EXPIRES,
        limit => EXPIRES.min(limit),
    };
    let (batch, bytes) = if is_too_large {
        // Without a limit.
        (1, 0)
    } else {
        (at_most(room.messages, consumer.max_batch), room.bytes)
    };
    BatchConfig {
        batch,
        expires: Some(expires),
        max_bytes: at_most(bytes, consumer.max_bytes),
        idle_heartbeat: HEARTBEAT.min(expires / 3),
        ..BatchConfig::default()
    }
}
