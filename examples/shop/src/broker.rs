//! What is between the two services. One more broker is one more module, and an arm in each match
//! on [`Route`].

// What a broker needs, nobody uses without one.
#![cfg_attr(
    not(feature = "rabbitmq"),
    allow(unused_variables, clippy::unused_async)
)]

#[cfg(feature = "rabbitmq")]
pub(crate) mod rabbitmq;
mod server;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use self::server::Server;
use crate::process::Watchdog;

/// How events get from orders to the ledger.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// Without a broker: each is posted to the ledger's inbox.
    Http {
        /// The ledger's door.
        url: String,
    },
    /// By way of a queue.
    #[cfg(feature = "rabbitmq")]
    RabbitMq(rabbitmq::Place),
}

impl Route {
    /// From the URL that names it. `name` is what is ours on a broker that others use, too.
    pub(crate) fn parse(url: &str, name: &str) -> Result<Self> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match scheme {
            "http" => Ok(Self::Http {
                url: url.to_owned(),
            }),
            #[cfg(feature = "rabbitmq")]
            "amqp" => Ok(Self::RabbitMq(rabbitmq::Place::new(url, name))),
            #[cfg(not(feature = "rabbitmq"))]
            "amqp" => bail!("this program was built without the feature `rabbitmq`"),
            _ => bail!("a broker is `rabbitmq`, or a URL that starts with amqp://"),
        }
    }

    /// Makes what must be there before the first event, and finds out whether the broker answers.
    pub(crate) async fn declare(&self) -> Result<()> {
        match self {
            Self::Http { .. } => Ok(()),
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(place) => rabbitmq::declare(place).await,
        }
    }

    /// How many events wait with the broker, once nobody consumes any more.
    pub(crate) async fn waiting(&self) -> Result<u32> {
        match self {
            Self::Http { .. } => Ok(0),
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(place) => rabbitmq::waiting(place).await,
        }
    }

    /// Leaves nothing of ours on a broker that others use, too.
    pub(crate) async fn remove(&self) -> Result<()> {
        match self {
            Self::Http { .. } => Ok(()),
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(place) => rabbitmq::remove(place).await,
        }
    }

    /// The name for people.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Http { .. } => "HTTP into the ledger's inbox",
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(_) => "RabbitMQ",
        }
    }
}

/// Starts the broker of this kind, with its data in this folder, and waits until it answers.
pub(crate) async fn start(kind: &str, folder: &Path, watchdog: &Watchdog) -> Result<Server> {
    match kind {
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => rabbitmq::server::start(folder, watchdog).await,
        #[cfg(not(feature = "rabbitmq"))]
        "rabbitmq" => bail!("this program was built without the feature `rabbitmq`"),
        _ => bail!(
            "no broker is called {kind:?}: it is `rabbitmq`, or a URL such as amqp://guest:guest@127.0.0.1"
        ),
    }
}

/// Makes a broker of our own safe to kill: what was declared is on its disk.
pub(crate) async fn flush(route: &Route, folder: &Path) -> Result<()> {
    match route {
        Route::Http { .. } => Ok(()),
        #[cfg(feature = "rabbitmq")]
        Route::RabbitMq(_) => rabbitmq::server::flush(folder).await,
    }
}
