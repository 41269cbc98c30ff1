//! Attempts are counted in the database, over all instances and restarts.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::state::Worker;
use super::state::task::{Done, on_connection};
use crate::consumer::lanes::Ticket;
use crate::consumer::options::STATEMENT_LIMIT;
use crate::reason::storable;
use crate::source::Source;
use crate::statement::StatementError;
use crate::store::{ConsumerStore, NewAttempt};

/// How many attempts one statement counts at most.
const MOST: usize = 200;

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    pub(super) fn start_counting(&mut self) {
        if self.counts.is_running || self.counts.wanted.is_empty() {
            return;
        }
        let (mut attempts, mut tickets) = (Vec::new(), Vec::new());
        let (mut messages, mut later) = (HashSet::new(), Vec::new());
        while let Some((ticket, reason)) = self.counts.wanted.pop_front() {
            let Some(held) = self.held.get(&ticket) else {
                self.not_run_any_more(reason.is_none());
                continue;
            };
            // One statement can't count one message twice.
            if tickets.len() >= MOST || !messages.insert(held.message.clone()) {
                later.push((ticket, reason));
                continue;
            }
            attempts.push(NewAttempt {
                message: held.message.clone(),
                reason: reason.as_deref().map(storable),
            });
            tickets.push((ticket, reason));
        }
        self.counts.wanted.extend(later);
        if tickets.is_empty() {
            return;
        }
        self.counts.is_running = true;
        let (pool, home, name) = self.for_statement();
        self.tasks.spawn(async move {
            let counted = on_connection(&pool, STATEMENT_LIMIT, |conn| {
                Box::pin(async move { DB::count_attempts(conn, &home, &name, &attempts).await })
            });
            let counted = counted.await;
            Done::Counted(tickets, counted)
        });
    }

    pub(super) fn counted(
        &mut self,
        tickets: Vec<(Ticket, Option<String>)>,
        counts: Result<Vec<u32>, StatementError>,
        now: Instant,
    ) {
        self.counts.is_running = false;
        match counts {
            Ok(counts) => {
                for ((ticket, reason), attempts) in tickets.into_iter().zip(counts) {
                    match reason {
                        Some(reason) => self.attempt_failed(ticket, attempts, reason, now),
                        None => self.counted_first(ticket, attempts, now),
                    }
                }
            }
            // Another consumer counts the same.
            Err(failed) if failed.is_conflict::<DB>() && !self.is_stopping() => {
                self.counts.wanted.extend(tickets);
            }
            Err(failed) => {
                self.outage_begins(&failed);
                for (ticket, reason) in tickets {
                    self.not_run_any_more(reason.is_none());
                    self.wait_for_the_database(ticket);
                }
            }
        }
    }

    /// An attempt is counted that has not run yet.
    fn counted_first(&mut self, ticket: Ticket, attempts: u32, now: Instant) {
        self.not_run_any_more(true);
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        held.counted = Some(attempts);
        held.has_attempts = true;
        if attempts > self.options.retry.limit() {
            held.failures = attempts - 1;
            let reason = format!(
                "its attempts are used up, and the last one had no end: the process ended, or was ended, {} times while it was \
                 in hand",
                attempts - 1
            );
            self.give_up(ticket, reason);
        } else if self.is_stopping() {
            self.interrupted(ticket, now);
        } else {
            self.run(ticket);
        }
    }

    pub(super) const fn not_run_any_more(&mut self, is_not_run: bool) {
        if is_not_run {
            self.counts.not_run -= 1;
        }
    }

    /// Deletes the attempts of what was handled, and takes back those that had no end. At best: a
    /// row that is left is deleted by a purge, and its message is a duplicate.
    pub(super) fn start_forgetting(&mut self) {
        let forgets = &mut self.forgets;
        if forgets.is_running || (forgets.done.is_empty() && forgets.interrupted.is_empty()) {
            return;
        }
        forgets.is_running = true;
        let mut done = std::mem::take(&mut forgets.done);
        let mut interrupted = std::mem::take(&mut forgets.interrupted);
        forgets.done = done.split_off(done.len().min(MOST));
        forgets.interrupted = interrupted.split_off(interrupted.len().min(MOST));
        let (pool, home, name) = self.for_statement();
        self.tasks.spawn(async move {
            let forgot = on_connection(&pool, STATEMENT_LIMIT, |conn| {
                Box::pin(async move {
                    DB::forget_attempts(conn, &home, &name, &done, &interrupted).await
                })
            });
            Done::Forgot(forgot.await)
        });
    }

    pub(super) fn forgot(&mut self, forgot: Result<(), StatementError>) {
        self.forgets.is_running = false;
        if let Err(failed) = forgot {
            tracing::debug!(
                consumer = &*self.name,
                error = %failed,
                "attempts of deliveries that were handled could not be deleted; a purge does it"
            );
        }
    }

    pub(super) fn for_statement(&self) -> (sqlx::Pool<DB>, Arc<crate::store::Home>, Arc<str>) {
        (
            self.pool.clone(),
            Arc::clone(&self.home),
            Arc::clone(&self.name),
        )
    }
}
