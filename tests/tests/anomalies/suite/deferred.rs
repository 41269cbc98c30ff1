//! Constraints that are checked at COMMIT, where there are some.

use super::case_db::CaseDb;
use super::first::{First, end_of};
use super::handlers::Which;
use super::{Axis, DEFERRED_VIOLATION};
use crate::fate::Fate;
use crate::model::{Order, sql};

/// Guards: the end and COMMIT are awaited together, and an error of COMMIT is the call's.
pub(crate) async fn violated(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let order = Order::held("o", [sql("INSERT INTO children VALUES (1)")]);
    let mut first = First::start(&db, fate, Which::Apply, order).await;
    let end = first.ends(&db, fate).await;
    if fate.commits() {
        assert_eq!(end, format!("Store({DEFERRED_VIOLATION})"));
    } else {
        assert_eq!(end, end_of(fate, ""));
    }
    assert_eq!(db.number("SELECT count(*) FROM children").await, 0);
    db.assert_whole_if(false, &[&first.pool]).await;
}

/// A constraint that is violated for a while and met at the end is no harm.
pub(crate) async fn put_right(axis: Axis, fate: Fate) {
    let db = CaseDb::start(axis).await;
    let deeds = [
        sql("INSERT INTO children VALUES (1)"),
        sql("INSERT INTO parents VALUES (1)"),
    ];
    let mut first = First::start(&db, fate, Which::Apply, Order::held("o", deeds)).await;
    assert_eq!(first.ends(&db, fate).await, end_of(fate, "Executed(7)"));
    db.assert_whole_if(fate.commits(), &[&first.pool]).await;
    let children = db.number("SELECT count(*) FROM children").await;
    assert_eq!(children, i64::from(fate.commits()));
}
