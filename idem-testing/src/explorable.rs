//! What the explorer must know of a database: how calls are watched, and which faults there are.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::future::Future;
use std::sync::Arc;

use idem_runtime::Begin;
use sqlx::Pool;

use crate::checkpoints::Checkpoints;
use crate::clone_database::CloneDatabase;
use crate::fault::FaultKind;
use crate::fault_proxy::Protocol;

/// A database on which handlers are explored.
#[diagnostic::on_unimplemented(
    message = "handlers on `{Self}` can't be explored",
    note = "turn on the feature `postgres`, `mysql` or `sqlite` of `idem-testing`"
)]
#[doc(hidden)]
pub trait Explorable: CloneDatabase {
    /// The protocol of its connections; `None` if there is no server.
    const PROTOCOL: Option<Protocol>;

    /// The faults that can be injected here.
    const FAULT_KINDS: &'static [FaultKind];

    /// What a handler opens its transactions on.
    fn begin(pool: &Pool<Self>) -> impl Begin<Self::Connection>;

    /// What a statement of `idem-runtime` is for.
    fn label(sql: &str) -> Option<&'static str> {
        let _ = sql;
        None
    }

    /// Reports the checkpoints of a connection, where there is no server and so no proxy.
    fn watch(
        conn: &mut Self::Connection,
        checkpoints: Arc<Checkpoints>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (conn, checkpoints);
        async { Ok(()) }
    }
}
