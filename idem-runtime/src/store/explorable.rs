//! How a call on a database is watched, and what can be done to it.

use std::future::Future;
use std::sync::Arc;

use sqlx::Pool;

use super::lab::Lab;
use crate::begin::Begin;
use crate::testing::wire::Protocol;
use crate::testing::{Checkpoints, Mode};

/// A database on which handlers are explored.
#[diagnostic::on_unimplemented(
    message = "handlers on `{Self}` can't be explored",
    note = "turn on the feature `postgres`, `mysql` or `sqlite` of `idem-runtime`"
)]
#[doc(hidden)]
pub trait Explorable: Lab {
    /// What its connections speak; None where there is no server.
    const PROTOCOL: Option<Protocol>;

    /// What can be done to a call here.
    const MODES: &'static [Mode];

    /// Where a call's own transactions come from.
    fn begin(pool: &Pool<Self>) -> impl Begin<Self::Connection>;

    /// What one of this crate's own statements is for.
    fn label(sql: &str) -> Option<&'static str> {
        let _ = sql;
        None
    }

    /// Has a connection tell its checkpoints, where there is no wire to see them on.
    fn watch(
        conn: &mut Self::Connection,
        checkpoints: Arc<Checkpoints>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (conn, checkpoints);
        async { Ok(()) }
    }
}
