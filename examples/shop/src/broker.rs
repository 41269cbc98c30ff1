//! What is between the two services. One more broker is one more module, a variant of [`Route`], and
//! an arm wherever that is matched: here, in `orders.rs` and in `ledger.rs`.

// What a broker needs, nobody uses without one.
#![cfg_attr(
    not(any(feature = "nats", feature = "rabbitmq")),
    allow(dead_code, unused_variables, clippy::unused_async)
)]

mod admin;
#[cfg(feature = "nats")]
pub(crate) mod nats;
#[cfg(feature = "rabbitmq")]
pub(crate) mod rabbitmq;
mod server;

use std::path::Path;

use anyhow::{Error, Result, anyhow};

use self::admin::Admin;
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
    /// By way of a stream.
    #[cfg(feature = "nats")]
    Nats(nats::Place),
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
            #[cfg(feature = "nats")]
            "nats" => Ok(Self::Nats(nats::Place::new(url, name))),
            #[cfg(feature = "rabbitmq")]
            "amqp" => Ok(Self::RabbitMq(rabbitmq::Place::new(url, name))),
            _ => Err(unknown(scheme)),
        }
    }

    fn broker(&self) -> Option<&dyn Admin> {
        match self {
            Self::Http { .. } => None,
            #[cfg(feature = "nats")]
            Self::Nats(place) => Some(place),
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(place) => Some(place),
        }
    }

    /// Makes what must be there before the first event, and finds out whether the broker answers.
    pub(crate) async fn declare(&self) -> Result<()> {
        match self.broker() {
            None => Ok(()),
            Some(broker) => broker.declare().await,
        }
    }

    /// Makes a broker of our own safe to kill: what was declared is on its disk.
    pub(crate) async fn flush(&self, folder: &Path) -> Result<()> {
        match self.broker() {
            None => Ok(()),
            Some(broker) => broker.flush(folder).await,
        }
    }

    /// How many events wait with the broker, once nobody consumes any more.
    pub(crate) async fn waiting(&self) -> Result<u32> {
        match self.broker() {
            None => Ok(0),
            Some(broker) => broker.waiting().await,
        }
    }

    /// Leaves nothing of ours on a broker that others use, too.
    pub(crate) async fn remove(&self) -> Result<()> {
        match self.broker() {
            None => Ok(()),
            Some(broker) => broker.remove().await,
        }
    }

    /// The name for people.
    pub(crate) fn label(&self) -> &'static str {
        self.broker()
            .map_or("HTTP into the ledger's inbox", Admin::label)
    }
}

/// Starts the broker of this kind, with its data in this folder, and waits until it answers.
pub(crate) async fn start(kind: &str, folder: &Path, watchdog: &Watchdog) -> Result<Server> {
    match kind {
        #[cfg(feature = "nats")]
        "nats" => nats::server::start(folder, watchdog).await,
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => rabbitmq::server::start(folder, watchdog).await,
        _ => Err(unknown(kind)),
    }
}

/// Why nothing is known by this name, or by this scheme of a URL.
fn unknown(name: &str) -> Error {
    let feature = match name {
        "nats" if !cfg!(feature = "nats") => "nats",
        "amqp" | "rabbitmq" if !cfg!(feature = "rabbitmq") => "rabbitmq",
        _ => {
            return anyhow!(
                "no broker is called {name:?}: it is `nats` or `rabbitmq`, or a URL that starts with nats:// or amqp://, such as \
                 amqp://guest:guest@127.0.0.1"
            );
        }
    };
    anyhow!("this program was built without the feature `{feature}`")
}
