//! The statements by which an inbox takes messages. They run in tasks of their own, so that what is
//! in memory is handed out meanwhile.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::hands::{Hands, Look};
use super::shared::Shared;
use crate::store::{InboxStore, TakenMessage};
use crate::telemetry::Redacted;

/// Until the statement has ended.
struct Looking {
    hands: Arc<Hands>,
    has_ended: bool,
}

impl Drop for Looking {
    fn drop(&mut self) {
        if !self.has_ended {
            self.hands.interrupted();
        }
    }
}

impl<DB: InboxStore> Shared<DB> {
    pub(super) fn start(self: &Arc<Self>, hands: &Arc<Hands>, look: Look) {
        let (shared, hands) = (Arc::clone(self), Arc::clone(hands));
        tokio::spawn(async move {
            let mut looking = Looking {
                hands,
                has_ended: false,
            };
            let began = Instant::now();
            let taken = shared.look(&look, looking.hands.owner).await;
            looking.has_ended = true;
            let until = began + shared.lease;
            looking.hands.looked(&look, taken, until, began);
        });
    }

    async fn look(&self, look: &Look, owner: Uuid) -> Result<Vec<TakenMessage>, sqlx::Error> {
        let lease = self.lease;
        match look {
            Look::PutBack(seqs) => {
                self.put_back(seqs.clone(), owner).await;
                Ok(Vec::new())
            }
            Look::Lanes(lanes, each) => {
                let each = *each;
                let taken = self.run(|conn, home, inbox| {
                    let lanes = lanes.clone();
                    Box::pin(async move {
                        DB::take_lanes(conn, home, inbox, owner, lease, &lanes, each).await
                    })
                });
                taken.await
            }
            Look::All(limit) => {
                let limit = *limit;
                let taken = self.run(|conn, home, inbox| {
                    Box::pin(async move { DB::take(conn, home, inbox, owner, lease, limit).await })
                });
                taken.await
            }
        }
    }

    /// Others can have these, which were not handed out. If that can't be written, their leases end.
    pub(super) async fn put_back(&self, seqs: Vec<i64>, owner: Uuid) {
        if seqs.is_empty() {
            return;
        }
        let put_back = self.run(|conn, home, _| {
            let seqs = seqs.clone();
            Box::pin(async move { DB::put_back(conn, home, &seqs, owner).await })
        });
        if let Err(error) = put_back.await {
            tracing::debug!(
                inbox = self.name,
                error = %Redacted(&error),
                "messages that were taken and not handed out could not be put back; they wait until their leases end"
            );
        }
    }
}
