//! What is explored: a handler, or a function.

use std::any::type_name;
use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;

use idem_runtime::{Error, Handler, Outcome, Received};
use sqlx::Pool;

use super::returned::Returned;
use crate::explorable::Explorable;

/// How one delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The message may be acknowledged: it is not delivered again, unless the acknowledgement is
    /// lost.
    Ok(Success),
    /// The message is delivered again.
    Failed(String),
}

/// A successful delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Success {
    /// For a report: whether it says that it ran the handler.
    pub(crate) label: &'static str,
    /// What it returned; `None` for a duplicate whose result is not stored.
    pub(crate) returned: Option<Returned>,
}

/// What a message is delivered to, again and again.
pub(crate) trait Target {
    type Database: Explorable;
    /// What lives as long as a process does.
    type Context;

    /// Its name in the report.
    fn name(&self) -> String;

    fn start(&self, pool: &Pool<Self::Database>) -> Self::Context;

    fn deliver(
        &self,
        pool: &Pool<Self::Database>,
        context: &Self::Context,
    ) -> impl Future<Output = DeliveryOutcome>;

    /// The same deliveries in other batches, and how they then come. They must leave the same.
    fn compositions(&self) -> Vec<(&'static str, Self)>
    where
        Self: Sized,
    {
        Vec::new()
    }
}

/// A [`Handler`], a message for it, and what makes its context.
pub(crate) struct HandlerTarget<H: Handler, C> {
    received: Received<H::Message>,
    context: C,
}

impl<H: Handler, C> HandlerTarget<H, C> {
    pub(crate) const fn new(received: Received<H::Message>, context: C) -> Self {
        Self { received, context }
    }
}

impl<H, C> Target for HandlerTarget<H, C>
where
    H: Handler<Database: Explorable, Output: Debug, Replay: Debug, Error: Debug>,
    C: Fn(&Pool<H::Database>) -> H::Context,
{
    type Database = H::Database;
    type Context = H::Context;

    fn name(&self) -> String {
        H::SCOPE.into()
    }

    fn start(&self, pool: &Pool<H::Database>) -> H::Context {
        (self.context)(pool)
    }

    async fn deliver(&self, pool: &Pool<H::Database>, context: &H::Context) -> DeliveryOutcome {
        match H::call(H::Database::begin(pool), &self.received, context).await {
            Ok(Outcome::Executed(output)) => DeliveryOutcome::Ok(Success {
                label: "Ok, executed",
                returned: Some(Returned::new(&output)),
            }),
            Ok(Outcome::Replayed(replay)) => DeliveryOutcome::Ok(Success {
                label: "Ok, replayed",
                // Under `on_duplicate = "skip"` a duplicate gets `()`, and the first delivery
                // another type.
                returned: (type_name::<H::Replay>() == type_name::<H::Output>())
                    .then(|| Returned::new(&replay)),
            }),
            // Whether a recorded error is replayed does not matter.
            Err(Error::Handler { error, .. }) => DeliveryOutcome::Failed(format!("{error:?}")),
            Err(error) => DeliveryOutcome::Failed(format!("{error:?}")),
        }
    }
}

/// A function of a pool.
pub(crate) struct FunctionTarget<DB, F> {
    name: &'static str,
    function: F,
    database: PhantomData<fn(DB)>,
}

impl<DB, F> FunctionTarget<DB, F> {
    pub(crate) const fn new(name: &'static str, function: F) -> Self {
        Self {
            name,
            function,
            database: PhantomData,
        }
    }
}

impl<DB, F, T, E> Target for FunctionTarget<DB, F>
where
    DB: Explorable,
    F: AsyncFn(Pool<DB>) -> Result<T, E>,
    T: Debug,
    E: Debug,
{
    type Database = DB;
    type Context = ();

    fn name(&self) -> String {
        self.name.into()
    }

    fn start(&self, _pool: &Pool<DB>) {}

    async fn deliver(&self, pool: &Pool<DB>, (): &()) -> DeliveryOutcome {
        match (self.function)(pool.clone()).await {
            Ok(output) => DeliveryOutcome::Ok(Success {
                label: "Ok",
                returned: Returned::of_function(&output),
            }),
            Err(error) => DeliveryOutcome::Failed(format!("{error:?}")),
        }
    }
}
