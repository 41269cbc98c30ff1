//! Many deliveries of one handler in one transaction: one claim for all, one end for all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::backoff::back_off_until;
use super::claim::{CLAIM_ATTEMPTS, Recovery};
use super::finish::Whole;
use super::member::MemberOrigin;
use super::{Execution, FinishError, Policy};
use crate::begin::Begin;
use crate::contract::shared;
use crate::error::Error;
use crate::identity::Identity;
use crate::member::{Member, MemberEnd};
use crate::outbox::Row;
use crate::store::{
    BatchClaim, BeginArgs, Claim, End, EndedClaim, ErrorClass, Home, Opening, Record, Store,
};
use crate::telemetry::unlogged::unlogged;

/// The transaction of a batch, and what it found of each delivery.
#[derive(Debug)]
pub(crate) struct Batch<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    /// A call without a key of its own.
    execution: Execution<DB, B>,
    identities: Vec<Identity>,
    places: Vec<Place>,
    /// The deliveries that are new, in their order.
    new: Vec<usize>,
}

/// What a batch does with one of its deliveries.
#[derive(Debug)]
pub(crate) enum Place {
    /// Its key is claimed: it is handled now.
    New,
    /// An earlier delivery stored this.
    Known(Record),
    /// It has the key of this delivery of the batch, which is new and before it.
    Repeats(usize),
    EmptyKey,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Batch<DB, B> {
    /// `undoable`: whether the effects must be undoable while the claims stay.
    pub(crate) fn new(
        origin: B,
        policy: Policy,
        identities: Vec<Identity>,
        undoable: bool,
    ) -> Self {
        Self {
            execution: Execution::new(origin, policy, None, undoable),
            identities,
            places: Vec::new(),
            new: Vec::new(),
        }
    }

    pub(crate) fn execution(&mut self) -> &mut Execution<DB, B> {
        &mut self.execution
    }

    pub(crate) const fn policy(&self) -> &Policy {
        &self.execution.policy
    }

    pub(crate) fn namespace(&self) -> Option<Uuid> {
        self.execution.namespace()
    }

    pub(crate) fn identity(&self, delivery: usize) -> &Identity {
        &self.identities[delivery]
    }

    pub(crate) fn place(&self, delivery: usize) -> &Place {
        &self.places[delivery]
    }

    /// The deliveries that are new, in their order.
    pub(crate) fn new_deliveries(&self) -> &[usize] {
        &self.new
    }

    pub(crate) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Claims every key that is free.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        if let Some(scopes) = shared(&self.execution.policy.scope) {
            return Err(Error::DuplicateScopes(scopes));
        }
        let (places, firsts) = places(&self.identities);
        self.places = places;
        self.new.clear();
        if firsts.is_empty() {
            return Ok(());
        }
        let joins = self.execution.session.joins().await;
        let found = if joins.map_err(Error::Store)? {
            self.execution.claim_joined(&self.identities, &firsts).await
        } else {
            self.execution.claim_own(&self.identities, &firsts).await
        };
        for (first, record) in firsts.into_iter().zip(found?) {
            if let Some(record) = record {
                self.places[first] = Place::Known(record);
            }
        }
        for delivery in 0..self.places.len() {
            if let Place::Repeats(first) = self.places[delivery]
                && let Place::Known(record) = &self.places[first]
            {
                self.places[delivery] = Place::Known(record.clone());
            }
        }
        let is_new = |delivery: &usize| matches!(self.places[*delivery], Place::New);
        self.new = (0..self.places.len()).filter(is_new).collect();
        Ok(())
    }

    /// Stores the ends of the new deliveries, in their order, and commits if the transaction is ours.
    pub(crate) async fn finish(
        &mut self,
        ends: &[End<'_>],
        events: &[Row],
    ) -> Result<(), FinishError> {
        self.end(ends, events, false).await
    }

    async fn end(
        &mut self,
        ends: &[End<'_>],
        events: &[Row],
        shared: bool,
    ) -> Result<(), FinishError> {
        let Execution {
            session,
            policy,
            fence,
            ..
        } = &mut self.execution;
        let identities = &self.identities;
        let ended = self.new.iter().zip(ends).map(|(delivery, end)| EndedClaim {
            claim: policy.claim(&identities[*delivery]),
            end: *end,
        });
        let ended: Vec<_> = ended.collect();
        let whole = Whole {
            policy,
            fence,
            shared,
        };
        whole.end(session, &ended, events).await
    }

    /// What the call of this delivery finds, which has a key. `ends` are those of the new deliveries before it.
    pub(crate) fn member(&self, delivery: usize, ends: &HashMap<usize, MemberEnd>) -> Member {
        let earlier = match &self.places[delivery] {
            Place::New | Place::EmptyKey => None,
            Place::Known(record) => Some(record.clone()),
            Place::Repeats(first) => ends.get(first).map(|end| end.record.clone()),
        };
        let session = &self.execution.session;
        let home = session.home().expect("a batch that began knows its home");
        Member::new(Arc::clone(home), session.own_depth(), earlier)
    }

    /// Where that call comes from.
    pub(crate) fn origin<'a>(&'a mut self, member: &'a mut Member) -> MemberOrigin<'a, DB> {
        MemberOrigin {
            connection: self.execution.connection(),
            member,
        }
    }

    /// The same as [`finish`](Self::finish), with what the calls left.
    pub(crate) async fn finish_members(
        &mut self,
        mut ends: HashMap<usize, MemberEnd>,
    ) -> Result<(), FinishError> {
        let mut events = Vec::new();
        let mut records = Vec::with_capacity(self.new.len());
        for delivery in &self.new {
            let end = ends.remove(delivery).expect("each new delivery has ended");
            events.extend(end.events);
            records.push(end.record);
        }
        if let Some(record) = records.first() {
            self.execution.policy.result_version = record.result_version;
        }
        let ends: Vec<_> = records.iter().map(Record::as_end).collect();
        self.end(&ends, &events, true).await
    }
}

/// What follows of the keys alone; and the first delivery of each key, in the order in which the
/// keys are claimed.
fn places(identities: &[Identity]) -> (Vec<Place>, Vec<usize>) {
    let mut by_key = HashMap::new();
    let mut places = Vec::with_capacity(identities.len());
    for (delivery, identity) in identities.iter().enumerate() {
        places.push(if identity.is_empty() {
            Place::EmptyKey
        } else {
            match by_key.entry(identity) {
                std::collections::hash_map::Entry::Occupied(first) => Place::Repeats(*first.get()),
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(delivery);
                    Place::New
                }
            }
        });
    }
    let mut firsts: Vec<_> = by_key.into_values().collect();
    firsts.sort_unstable_by_key(|first| identities[*first].key.as_bytes());
    (places, firsts)
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    async fn claim_own(
        &mut self,
        identities: &[Identity],
        firsts: &[usize],
    ) -> Result<Vec<Option<Record>>, Error> {
        let wait = self.session.longest_wait();
        let wait = wait.map_or(self.policy.wait, |longest| longest.min(self.policy.wait));
        let deadline = Instant::now() + wait;
        let mut replaced = 0;
        let mut attempt = 0;
        loop {
            self.session.acquire().await.map_err(Error::Store)?;
            let home = match self.session.find_home().await {
                Ok(home) => home,
                Err(error) => match self.recover(error, &mut replaced) {
                    Recovery::TryAgain => continue,
                    Recovery::Fail(error) => return Err(error),
                },
            };
            attempt += 1;
            self.name_fence();
            let args = BeginArgs {
                home: &home,
                isolation: self.policy.isolation,
                opening: Opening::Batch,
                fence: &self.fence,
                wait,
                retention: self.policy.retention,
            };
            let claimed = match unlogged(DB::open(self.session.connection(), &args)).await {
                Ok(()) => self.claim_batch(&home, identities, firsts, wait).await,
                Err(error) => Err(error),
            };
            let error = match claimed {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            match DB::classify(&error) {
                // No body has run yet.
                ErrorClass::Conflict => {
                    self.session.roll_back().await.map_err(Error::Store)?;
                    if attempt >= CLAIM_ATTEMPTS && Instant::now() >= deadline {
                        return Err(Error::Store(error));
                    }
                    back_off_until(attempt, deadline).await;
                }
                ErrorClass::ForeignTransaction => {
                    if let Recovery::Fail(error) = self.recover(error, &mut replaced) {
                        return Err(error);
                    }
                }
                ErrorClass::OtherNamespace if attempt < CLAIM_ATTEMPTS => {
                    self.session.roll_back().await.map_err(Error::Store)?;
                    self.session.forget_home();
                }
                class => {
                    if class != ErrorClass::Unknown {
                        self.session.roll_back().await.map_err(Error::Store)?;
                    }
                    if class == ErrorClass::NotMigrated {
                        self.session.forget_home();
                    }
                    return Err(class.into_error(error, Some(&home)));
                }
            }
        }
    }

    async fn claim_joined(
        &mut self,
        identities: &[Identity],
        firsts: &[usize],
    ) -> Result<Vec<Option<Record>>, Error> {
        self.check_isolation().await?;
        for _ in 0..CLAIM_ATTEMPTS {
            let home = match unlogged(self.session.find_home()).await {
                Ok(home) => home,
                Err(error) => return Err(DB::classify(&error).into_error(error, None)),
            };
            self.session.join().await.map_err(Error::Store)?;
            self.name_fence();
            let wait = self.policy.wait;
            let claimed = self.claim_batch(&home, identities, firsts, wait).await;
            let error = match claimed {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let undone = self.session.roll_back().await;
            match DB::classify(&error) {
                ErrorClass::OtherNamespace => {
                    undone.map_err(Error::Store)?;
                    self.session.forget_home();
                }
                class => return Err(class.into_error(error, Some(&home))),
            }
        }
        Err(Error::InFlight)
    }

    async fn claim_batch(
        &mut self,
        home: &Home,
        identities: &[Identity],
        firsts: &[usize],
        wait: Duration,
    ) -> Result<Vec<Option<Record>>, sqlx::Error> {
        let claims: Vec<Claim<'_>> = firsts
            .iter()
            .map(|first| self.policy.claim(&identities[*first]))
            .collect();
        let args = BatchClaim {
            home,
            scope: &self.policy.scope,
            claims: &claims,
            fence: &self.fence,
            retention: self.policy.retention,
            wait,
        };
        unlogged(DB::claim_batch(self.session.connection(), &args)).await
    }
}
