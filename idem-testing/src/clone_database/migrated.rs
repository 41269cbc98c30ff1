//! Whether a database has the tables of this release.

use idem_runtime::__testing::Store;
use sqlx::Connection;
use sqlx::pool::PoolOptions;

use crate::setup_error::SetupError;

/// Fails unless the tables of idem are in the database, whose name is for the message.
pub(super) async fn require_migrated<DB: Store>(
    options: <DB::Connection as Connection>::Options,
    database: &str,
) -> Result<(), SetupError> {
    let failed = || SetupError::sql(format!("the database `{database}` can't be read"));
    let pool = PoolOptions::<DB>::new().max_connections(1);
    let pool = pool.connect_with(options).await.map_err(failed())?;
    let version = DB::schema_version(&pool).await;
    pool.close().await;
    let version = version.map_err(failed())?;
    if version.is_some_and(|version| version as usize >= DB::MIGRATIONS.len()) {
        return Ok(());
    }
    Err(SetupError::new(format!(
        "the tables of idem are not in the database `{database}`, or older than this release: \
         `idem_runtime::migrate(&pool).await` creates them"
    )))
}
