//! A delivery of one of two sources.

use std::time::Duration;

use super::{Delivery, Incoming, Partition, SettleError};

/// A delivery of one of two sources.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

impl<A: Delivery, B: Delivery> Delivery for Either<A, B> {
    fn incoming(&self) -> &Incoming {
        match self {
            Self::First(delivery) => delivery.incoming(),
            Self::Second(delivery) => delivery.incoming(),
        }
    }

    fn partition(&self) -> Partition {
        match self {
            Self::First(delivery) => delivery.partition(),
            Self::Second(delivery) => delivery.partition(),
        }
    }

    fn time_left(&self) -> Option<Duration> {
        match self {
            Self::First(delivery) => delivery.time_left(),
            Self::Second(delivery) => delivery.time_left(),
        }
    }

    async fn ack(self) -> Result<(), SettleError> {
        match self {
            Self::First(delivery) => delivery.ack().await,
            Self::Second(delivery) => delivery.ack().await,
        }
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        match self {
            Self::First(delivery) => delivery.give_back(after).await,
            Self::Second(delivery) => delivery.give_back(after).await,
        }
    }

    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        match self {
            Self::First(delivery) => delivery.reject(reason).await,
            Self::Second(delivery) => delivery.reject(reason).await,
        }
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        match self {
            Self::First(delivery) => delivery.extend().await,
            Self::Second(delivery) => delivery.extend().await,
        }
    }
}
