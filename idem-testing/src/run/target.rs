//! What is explored: a handler, or a function.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;

use idem_runtime::{Handler, Outcome, Received};
use sqlx::Pool;

use crate::explorable::Explorable;

/// How one delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The message may be acknowledged: it is not delivered again, unless the acknowledgement is lost.
    Ok(Success),
    /// The message is delivered again.
    Failed(String),
}

/// Whether a successful delivery says that it ran the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    Executed,
    Replayed,
    /// A function does not say.
    Unspecified,
}

impl Success {
    /// For a report.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Executed => "Ok, executed",
            Self::Replayed => "Ok, replayed",
            Self::Unspecified => "Ok",
        }
    }
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
    H: Handler<Database: Explorable, Error: Debug>,
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
            Ok(Outcome::Executed(_)) => DeliveryOutcome::Ok(Success::Executed),
            Ok(Outcome::Replayed(_)) => DeliveryOutcome::Ok(Success::Replayed),
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
            Ok(_) => DeliveryOutcome::Ok(Success::Unspecified),
            Err(error) => DeliveryOutcome::Failed(format!("{error:?}")),
        }
    }
}
