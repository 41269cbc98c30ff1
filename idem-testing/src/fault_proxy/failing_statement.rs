//! Which statement of a request fails.

use super::sql_batch::{Effect, Statement};
use super::step::InjectedError;

/// A statement that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailingStatement {
    /// The byte at which it begins.
    pub(super) at: usize,
    /// It is a COMMIT: when it fails, the transaction is over.
    pub(super) ends: bool,
}

/// The statement of a batch that such an error would `failing_statement`; `None` if it would
/// `failing_statement` none.
///
/// A deadlock happens where locks are taken: at the first statement that reads or writes. A
/// serialization failure happens as late as possible: at COMMIT, or else at the last such
/// statement. A batch without one fails at the last statement that can fail. In an aborted
/// transaction nothing fails so, since nothing is executed there.
pub(super) fn failing_statement(
    statements: &[Statement],
    error: InjectedError,
    aborted: bool,
) -> Option<FailingStatement> {
    let reached = if aborted {
        let end = statements.iter().position(|statement| {
            matches!(
                statement.effect,
                Effect::Commit | Effect::Rollback | Effect::RollbackTo
            )
        })?;
        &statements[end + 1..]
    } else {
        statements
    };
    let of = |effect: Effect| move |statement: &&Statement| statement.effect == effect;
    let mut work = reached.iter().filter(of(Effect::Work));
    let commit = reached.iter().find(of(Effect::Commit));
    let failing = match error {
        InjectedError::Deadlock => work.next().or(commit),
        InjectedError::SerializationFailure => commit.or(work.next_back()),
    };
    let can_fail =
        |statement: &&Statement| !matches!(statement.effect, Effect::Rollback | Effect::RollbackTo);
    failing
        .or_else(|| reached.iter().rfind(can_fail))
        .map(|statement| FailingStatement {
            at: statement.at,
            ends: statement.effect == Effect::Commit,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_proxy::sql_batch::{Dialect, statements};

    /// What is executed before the failure, and whether the failure ends the transaction.
    fn failing(sql: &str, error: InjectedError, aborted: bool) -> Option<(&str, bool)> {
        failing_statement(&statements(sql, Dialect::Postgres), error, aborted)
            .map(|failing_statement| (sql[..failing_statement.at].trim(), failing_statement.ends))
    }

    fn both(sql: &str) -> [Option<(&str, bool)>; 2] {
        [
            failing(sql, InjectedError::Deadlock, false),
            failing(sql, InjectedError::SerializationFailure, false),
        ]
    }

    #[test]
    fn one_statement_fails_itself() {
        for sql in ["SELECT 1", "BEGIN", "SAVEPOINT s", "SET a = 1"] {
            assert_eq!(both(sql), [Some(("", false)); 2], "{sql}");
        }
        assert_eq!(both("COMMIT"), [Some(("", true)); 2]);
    }

    #[test]
    fn a_batch_that_opens_fails_after_it_began() {
        assert_eq!(both("BEGIN; CALL c()"), [Some(("BEGIN;", false)); 2]);
        assert_eq!(both("BEGIN; SAVEPOINT s"), [Some(("BEGIN;", false)); 2]);
    }

    #[test]
    fn a_batch_that_commits_fails_at_its_work_or_at_its_commit() {
        let sql = "RELEASE s; CALL f(); CALL g(); COMMIT AND CHAIN";
        assert_eq!(
            both(sql),
            [
                Some(("RELEASE s;", false)),
                Some(("RELEASE s; CALL f(); CALL g();", true))
            ]
        );
    }

    #[test]
    fn several_statements_fail_at_the_first_or_at_the_last() {
        let sql = "SELECT 1; BEGIN; SELECT 2; SAVEPOINT s";
        assert_eq!(
            both(sql),
            [Some(("", false)), Some(("SELECT 1; BEGIN;", false))]
        );
    }

    #[test]
    fn a_rollback_never_fails() {
        for sql in ["ROLLBACK", "ROLLBACK TO s", " ; ", ""] {
            assert_eq!(both(sql), [None; 2], "{sql}");
        }
        assert_eq!(both("ROLLBACK; SELECT 1"), [Some(("ROLLBACK;", false)); 2]);
    }

    #[test]
    fn nothing_fails_so_in_an_aborted_transaction() {
        for sql in ["SELECT 1", "COMMIT", "ROLLBACK", "SAVEPOINT s; SELECT 1"] {
            assert_eq!(failing(sql, InjectedError::Deadlock, true), None, "{sql}");
        }
        assert_eq!(
            failing("ROLLBACK; SELECT 1", InjectedError::Deadlock, true),
            Some(("ROLLBACK;", false))
        );
    }
}
