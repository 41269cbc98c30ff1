//! What is stored of a delivery, asked without claiming its key.

use sqlx::Pool;

use super::{Policy, admit, refused};
use crate::error::Error;
use crate::identity::Identity;
use crate::store::{Record, Store};
use crate::telemetry::unlogged::unlogged;

/// The committed row of the delivery's key.
pub(crate) async fn lookup<DB: Store>(
    pool: &Pool<DB>,
    policy: &Policy,
    identity: &Identity,
) -> Result<Option<Record>, Error> {
    admit(policy, identity)?;
    let mut connection = pool.acquire().await.map_err(Error::Store)?;
    let claim = policy.claim(identity);
    unlogged(DB::lookup(&mut connection, &claim, false))
        .await
        .map_err(|error| refused(DB::classify(&error), error))
}
