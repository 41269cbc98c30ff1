//! The session by which others see that this relay lives.

use std::future::pending;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use crate::store::RelaySession;

/// A session and the task that listens to it. A wait for the next wake-up must not be dropped half
/// way, since an answer of the server may be on its way.
pub(crate) struct HeldSession {
    pub(crate) name: Option<String>,
    pub(crate) heard: UnboundedReceiver<sqlx::Result<()>>,
    _listening: AbortOnDropHandle<()>,
}

impl HeldSession {
    pub(crate) fn new(mut session: impl RelaySession) -> Self {
        let (wakes, heard) = unbounded_channel();
        Self {
            name: session.name().map(str::to_owned),
            heard,
            _listening: AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let woken = session.woken().await;
                    let is_gone = woken.is_err();
                    if wakes.send(woken).is_err() || is_gone {
                        break;
                    }
                }
            })),
        }
    }
}

/// Waits for a wake-up from another process.
///
/// # Errors
/// The session is gone.
pub(crate) async fn woken(session: &mut Option<HeldSession>) -> sqlx::Result<()> {
    match session {
        Some(session) => session.heard.recv().await.unwrap_or(Ok(())),
        None => pending().await,
    }
}
