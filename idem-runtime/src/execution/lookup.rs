//! What is stored of a delivery, asked without claiming its key.

use super::claim::Recovery;
use super::{Execution, admit};
use crate::begin::Begin;
use crate::error::Error;
use crate::store::{Record, Store};

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    /// The committed row of the delivery's key.
    pub(crate) async fn look_up(mut self) -> Result<Option<Record>, Error> {
        if let Some(identity) = &self.identity {
            admit(&self.policy, identity)?;
        }
        let mut replaced = 0;
        loop {
            self.session.acquire().await.map_err(Error::Store)?;
            let found = match self.session.find_home().await {
                Ok(home) => self.ask(&home).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(record) => {
                    self.session.disarm();
                    return Ok(record);
                }
                Err(error) => {
                    if let Recovery::Fail(error) = self.recover(error, &mut replaced) {
                        return Err(error);
                    }
                }
            }
        }
    }
}
