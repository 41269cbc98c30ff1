//! Copies of the database, made before the runs that use them.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::clone_database::{CloneDatabase, DatabaseCopy};
use crate::setup_error::SetupError;

/// Copies that are removed together: PostgreSQL writes a checkpoint for each that it drops, or one
/// for several.
const REMOVED_TOGETHER: usize = 8;

/// Makes copies and removes them, both in the background: either takes as long as a run.
pub(crate) struct CopyPool<DB: CloneDatabase> {
    pub(crate) template: Arc<DB::Template>,
    made: Mutex<mpsc::Receiver<Result<DatabaseCopy, SetupError>>>,
    used: mpsc::UnboundedSender<DatabaseCopy>,
    making: JoinHandle<()>,
    removing: JoinHandle<()>,
}

impl<DB: CloneDatabase> CopyPool<DB> {
    /// Keeps `ahead` copies ready, besides the one that is being made.
    pub(crate) fn new(template: DB::Template, ahead: usize) -> Self {
        let template = Arc::new(template);
        let (fresh, made) = mpsc::channel(ahead);
        let (used, mut remove) = mpsc::unbounded_channel();
        let making = tokio::spawn({
            let template = Arc::clone(&template);
            async move {
                loop {
                    let Ok(place) = fresh.reserve().await else {
                        return;
                    };
                    let copy = DB::copy(&template).await;
                    let failed = copy.is_err();
                    place.send(copy);
                    if failed {
                        return;
                    }
                }
            }
        });
        let removing = tokio::spawn({
            let template = Arc::clone(&template);
            async move {
                let mut batch = Vec::new();
                while remove.recv_many(&mut batch, REMOVED_TOGETHER).await > 0 {
                    let discarded = batch.drain(..);
                    let discarded = discarded.map(|copy| DB::discard(&template, copy));
                    // A copy that can't be removed now is removed by the next exploration.
                    join_all(discarded).await;
                }
            }
        });
        Self {
            template,
            made: Mutex::new(made),
            used,
            making,
            removing,
        }
    }

    pub(crate) async fn next(&self) -> Result<DatabaseCopy, SetupError> {
        let made = self.made.lock().await.recv().await;
        match made {
            Some(Ok(mut copy)) => {
                copy.start();
                Ok(copy)
            }
            Some(Err(error)) => Err(error),
            None => Err(SetupError::new(
                "no more copies of the database are made, because the last one failed",
            )),
        }
    }

    pub(crate) fn discard(&self, copy: DatabaseCopy) {
        let _ = self.used.send(copy);
    }

    /// Removes everything that was made.
    pub(crate) async fn close(mut self) -> Result<(), SetupError> {
        let made = self.made.get_mut();
        made.close();
        while let Some(made) = made.recv().await {
            if let Ok(copy) = made {
                let _ = self.used.send(copy);
            }
        }
        let _ = self.making.await;
        drop(self.used);
        let _ = self.removing.await;
        match Arc::into_inner(self.template) {
            Some(template) => DB::close_template(template).await,
            None => Ok(()),
        }
    }
}
