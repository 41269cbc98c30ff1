//! A call that is one of a batch: the batch has claimed its key, and ends its claim.

use std::fmt;
use std::sync::Arc;

use super::{ClaimResult, Execution, FinishError};
use crate::begin::Begin;
use crate::error::Error;
use crate::member::{Member, MemberEnd};
use crate::outbox::Row;
use crate::store::{End, Record, Store};

/// Where the call of one delivery of a batch comes from.
pub(crate) struct MemberOrigin<'a, DB: Store> {
    pub(super) connection: &'a mut DB::Connection,
    pub(super) member: &'a mut Member,
}

impl<DB: Store> fmt::Debug for MemberOrigin<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberOrigin").finish_non_exhaustive()
    }
}

impl<DB: Store> Begin<DB::Connection> for MemberOrigin<'_, DB> {
    type Database = DB;

    fn connection(&mut self) -> Option<&mut DB::Connection> {
        Some(self.connection)
    }

    fn member(&mut self) -> Option<&mut Member> {
        Some(self.member)
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    /// Whether this call is one of a batch.
    pub(crate) fn is_member(&mut self) -> bool {
        self.session.member().is_some()
    }

    /// Finds what the batch found. Only for a call that has a [`Member`].
    pub(super) fn begin_member(&mut self) -> ClaimResult {
        let member = self.session.member().expect("this call is one of a batch");
        let earlier = member.earlier.take();
        let (depth, home) = (member.depth, Arc::clone(&member.home));
        if let Some(record) = earlier {
            return ClaimResult::Duplicate(record);
        }
        self.session.take_part(depth, home);
        ClaimResult::Claimed
    }

    /// Leaves the end of the call to its batch.
    pub(super) async fn finish_member(
        &mut self,
        end: End<'_>,
        events: Vec<Row>,
    ) -> Result<(), FinishError> {
        if !self.session.is_whole().await {
            return Err(FinishError::Failed(Error::RolledBack));
        }
        let record = Record {
            state: end.state(),
            fingerprint: self
                .identity
                .as_ref()
                .and_then(|identity| identity.fingerprint.as_ref())
                .map(|fingerprint| fingerprint.as_bytes().to_vec()),
            result_version: self.policy.result_version,
            body: end.body().map(<[u8]>::to_vec),
        };
        self.session.disarm();
        if let Some(member) = self.session.member() {
            member.end = Some(MemberEnd { record, events });
        }
        Ok(())
    }
}
