//! Copies made ahead of the runs that use them up.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::store::lab::{Lab, LabError, Specimen};

/// Copies that are removed at once: PostgreSQL writes a checkpoint for each that it drops, or one for several.
const TOGETHER: usize = 8;

/// Makes copies and removes them, both in the background: each costs a run's time again.
pub(crate) struct Specimens<DB: Lab> {
    pub(crate) template: Arc<DB::Template>,
    made: Mutex<mpsc::Receiver<Result<Specimen, LabError>>>,
    used: mpsc::UnboundedSender<Specimen>,
    making: JoinHandle<()>,
    removing: JoinHandle<()>,
}

impl<DB: Lab> Specimens<DB> {
    /// So many wait for their run, beside the one that is being made.
    pub(crate) fn of(template: DB::Template, ahead: usize) -> Self {
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
                while remove.recv_many(&mut batch, TOGETHER).await > 0 {
                    let discarded = batch.drain(..);
                    let discarded = discarded.map(|specimen| DB::discard(&template, specimen));
                    // What can't be removed now is removed by the next exploration.
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

    pub(crate) async fn next(&self) -> Result<Specimen, LabError> {
        let made = self.made.lock().await.recv().await;
        match made {
            Some(Ok(mut specimen)) => {
                specimen.start();
                Ok(specimen)
            }
            Some(Err(error)) => Err(error),
            None => Err(LabError::new(
                "no more copies of the database are made: the last one failed",
            )),
        }
    }

    pub(crate) fn discard(&self, specimen: Specimen) {
        let _ = self.used.send(specimen);
    }

    /// Removes everything that was made.
    pub(crate) async fn close(mut self) -> Result<(), LabError> {
        let made = self.made.get_mut();
        made.close();
        while let Some(made) = made.recv().await {
            if let Ok(specimen) = made {
                let _ = self.used.send(specimen);
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
