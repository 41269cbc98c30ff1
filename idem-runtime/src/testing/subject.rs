//! What is explored: a handler, or a function.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;

use sqlx::Pool;

use crate::handler::Handler;
use crate::message::Received;
use crate::outcome::Outcome;
use crate::store::explorable::Explorable;

/// How one delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It may be acknowledged: nobody delivers it again, unless the acknowledgement is lost.
    Ok(Ended),
    /// It is delivered again.
    Failed(String),
}

/// What a delivery that may be acknowledged says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Executed,
    Replayed,
    /// A function says neither.
    Unsaid,
}

impl Ended {
    /// For a report.
    pub(crate) const fn said(self) -> &'static str {
        match self {
            Self::Executed => "Ok, executed",
            Self::Replayed => "Ok, replayed",
            Self::Unsaid => "Ok",
        }
    }
}

/// What is delivered to, again and again.
pub(crate) trait Subject {
    type Database: Explorable;
    /// What lives as long as a process does.
    type Process;

    /// As it stands in the report.
    fn name(&self) -> String;

    fn start(&self, pool: &Pool<Self::Database>) -> Self::Process;

    fn deliver(
        &self,
        pool: &Pool<Self::Database>,
        process: &Self::Process,
    ) -> impl Future<Output = Delivered>;
}

/// A [`Handler`], a message for it, and what makes its context.
pub(crate) struct OfHandler<H: Handler, C> {
    received: Received<H::Message>,
    context: C,
}

impl<H: Handler, C> OfHandler<H, C> {
    pub(crate) const fn new(received: Received<H::Message>, context: C) -> Self {
        Self { received, context }
    }
}

impl<H, C> Subject for OfHandler<H, C>
where
    H: Handler<Database: Explorable, Error: Debug>,
    C: Fn(&Pool<H::Database>) -> H::Context,
{
    type Database = H::Database;
    type Process = H::Context;

    fn name(&self) -> String {
        H::SCOPE.into()
    }

    fn start(&self, pool: &Pool<H::Database>) -> H::Context {
        (self.context)(pool)
    }

    async fn deliver(&self, pool: &Pool<H::Database>, context: &H::Context) -> Delivered {
        match H::call(H::Database::begin(pool), &self.received, context).await {
            Ok(Outcome::Executed(_)) => Delivered::Ok(Ended::Executed),
            Ok(Outcome::Replayed(_)) => Delivered::Ok(Ended::Replayed),
            Err(error) => Delivered::Failed(format!("{error:?}")),
        }
    }
}

/// A function of a pool.
pub(crate) struct OfFunction<DB, F> {
    name: &'static str,
    function: F,
    database: PhantomData<fn(DB)>,
}

impl<DB, F> OfFunction<DB, F> {
    pub(crate) const fn new(name: &'static str, function: F) -> Self {
        Self {
            name,
            function,
            database: PhantomData,
        }
    }
}

impl<DB, F, T, E> Subject for OfFunction<DB, F>
where
    DB: Explorable,
    F: AsyncFn(Pool<DB>) -> Result<T, E>,
    E: Debug,
{
    type Database = DB;
    type Process = ();

    fn name(&self) -> String {
        self.name.into()
    }

    fn start(&self, _pool: &Pool<DB>) {}

    async fn deliver(&self, pool: &Pool<DB>, (): &()) -> Delivered {
        match (self.function)(pool.clone()).await {
            Ok(_) => Delivered::Ok(Ended::Unsaid),
            Err(error) => Delivered::Failed(format!("{error:?}")),
        }
    }
}
