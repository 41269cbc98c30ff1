//! What a handler must not do to its transaction, and what it may.

use super::case_db::CaseDb;
use super::first::{First, end_of};
use super::handlers::{Which, applied};
use super::{Axis, BEGIN_AGAIN, DDL_COMMITS, KILLS_PROCESSES, SWALLOWED_ERRORS_ABORT};
use crate::fate::Fate;
use crate::model::{Deed, Order, State, sql, swallowed};

/// What becomes of the handler's transaction by its deeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Whole,
    Nothing,
    /// Claim and effect, committed before their end.
    Unfinished,
}

/// The first delivery does it and meets its fate: what it leaves is what the next delivery finds.
async fn row(axis: Axis, fate: Fate, deeds: Vec<Deed>, leaves: Leaves) -> CaseDb {
    let db = CaseDb::start(axis).await;
    let leaks = deeds.iter().any(|deed| matches!(deed, Deed::LeakNested));
    let order = Order::held("o", deeds);
    let mut first = First::start(&db, fate, Which::Apply, order).await;
    let expected = match (fate, leaves) {
        (Fate::Commits, Leaves::Nothing | Leaves::Unfinished) => "RolledBack".into(),
        // The end is not even tried.
        (Fate::IsCut, _) if leaks => "RolledBack".into(),
        (Fate::IsKilled, _) if leaks && !KILLS_PROCESSES => "RolledBack".into(),
        _ => end_of(fate, "Executed(7)"),
    };
    assert_eq!(first.ends(&db, fate).await, expected);
    match leaves {
        Leaves::Whole => db.assert_whole_if(fate.commits(), &[&first.pool]).await,
        Leaves::Nothing => db.assert_whole_if(false, &[&first.pool]).await,
        Leaves::Unfinished => {
            for _ in 0..2 {
                let state = State::unfinished();
                db.assert_then(&[&first.pool], state.clone(), "Unfinished", state)
                    .await;
            }
        }
    }
    db
}

/// Guards: the end of the call is our own statement; an aborted transaction answers it with an
/// error, where sqlx's `commit()` says `Ok` and stores nothing. Where the failing statement is
/// undone alone, the rest commits: only `?` can tell that it minds.
pub(crate) async fn swallowed_error(axis: Axis, fate: Fate) {
    let leaves = if SWALLOWED_ERRORS_ABORT {
        Leaves::Nothing
    } else {
        Leaves::Whole
    };
    let deed = swallowed("SELECT no_such_column FROM effects");
    row(axis, fate, vec![deed], leaves).await;
}

/// Guards: a duplicate is recognised by our own claim, never by the class of an error; else as
/// above.
pub(crate) async fn swallowed_violation(axis: Axis, fate: Fate) {
    let leaves = if SWALLOWED_ERRORS_ABORT {
        Leaves::Nothing
    } else {
        Leaves::Whole
    };
    let deed = swallowed("INSERT INTO uniques (id) VALUES (11)");
    row(axis, fate, vec![deed], leaves).await;
}

/// A violation that a nested transaction takes back is no harm.
pub(crate) async fn violation_in_a_nested_transaction(axis: Axis, fate: Fate) {
    let deed = Deed::Tried("INSERT INTO uniques (id) VALUES (11)".into());
    row(axis, fate, vec![deed], Leaves::Whole).await;
}

/// Guards: the fence. The claim's transaction is gone when the end is written.
pub(crate) async fn smuggled_rollback(axis: Axis, fate: Fate) {
    row(axis, fate, vec![sql("ROLLBACK")], Leaves::Nothing).await;
}

/// Guards: the fence is of the transaction that claimed, not of any.
pub(crate) async fn smuggled_rollback_and_begin(axis: Axis, fate: Fate) {
    let late = "INSERT INTO effects (id) VALUES ('late')";
    let deeds = vec![sql("ROLLBACK"), sql(BEGIN_AGAIN), sql(late)];
    row(axis, fate, deeds, Leaves::Nothing).await;
}

/// Guards: the fence, and a claim that is there without its end is `Unfinished`, never run again.
pub(crate) async fn smuggled_commit(axis: Axis, fate: Fate) {
    row(axis, fate, vec![sql("COMMIT")], Leaves::Unfinished).await;
}

/// Guards: the same.
pub(crate) async fn smuggled_commit_and_begin(axis: Axis, fate: Fate) {
    let late = "INSERT INTO effects (id) VALUES ('late')";
    let deeds = vec![sql("COMMIT"), sql(BEGIN_AGAIN), sql(late)];
    row(axis, fate, deeds, Leaves::Unfinished).await;
}

/// Guards: the depth of nesting is checked before the end. sqlx's COMMIT would release the
/// savepoint, say `Ok` and store nothing.
pub(crate) async fn leaked_nested_transaction(axis: Axis, fate: Fate) {
    row(axis, fate, vec![Deed::LeakNested], Leaves::Nothing).await;
}

/// Guards: a claim without its end that our own transaction sees is `Unfinished`: no wait for
/// ourselves, no second effect.
pub(crate) async fn call_of_itself(axis: Axis, fate: Fate) {
    row(axis, fate, vec![Deed::HandleAgain], Leaves::Whole).await;
}

/// Guards, on MariaDB, where DDL commits: the fence. The others take DDL into the transaction.
pub(crate) async fn ddl(axis: Axis, fate: Fate) {
    const CREATE: &str = "CREATE TABLE made_by_handler (id INTEGER)";
    let leaves = if DDL_COMMITS {
        Leaves::Unfinished
    } else {
        Leaves::Whole
    };
    let db = row(axis, fate, vec![sql(CREATE)], leaves).await;
    if !DDL_COMMITS {
        // Made by the first delivery or not at all: then the next one can.
        let order = Order::new("p", [sql(CREATE)]);
        let end = applied(&db.pool, &order).await;
        assert_eq!(end.starts_with("Handler("), fate.commits(), "{end}");
    }
    db.execute("DROP TABLE made_by_handler").await;
}
