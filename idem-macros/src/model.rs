//! What passed every check. `expand` writes it out and cannot fail.

use proc_macro2::{Group, Span, TokenStream};
use syn::{Attribute, Ident, LitStr, Pat, PatType, Path, Signature, Type, Visibility};

/// A function to wrap, whatever the arguments of its attributes.
pub(crate) struct Shape {
    pub(crate) attrs: Vec<Attribute>,
    /// The other attribute of this crate, by the path that it was imported under.
    pub(crate) absorbed: Option<Path>,
    pub(crate) vis: Visibility,
    /// As written, but for the parameters of this crate: the transaction is left out, and so is the
    /// outbox.
    pub(crate) sig: Signature,
    pub(crate) tx: Transaction,
    pub(crate) outbox: Option<OutboxParam>,
    /// The parameters that stay.
    pub(crate) params: Vec<PatType>,
    pub(crate) output: Output,
    pub(crate) body: Group,
}

/// `mut tx: &mut PgConnection`.
pub(crate) struct Transaction {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) mutability: Option<syn::Token![mut]>,
    pub(crate) name: Ident,
    /// `PgConnection`, or an alias of it.
    pub(crate) connection: Type,
}

/// `outbox: &mut Outbox<E>`.
pub(crate) struct OutboxParam {
    pub(crate) pat: Pat,
    pub(crate) ty: Type,
    pub(crate) events: Type,
    /// A `BatchOutbox`.
    pub(crate) batch: bool,
}

/// What the function returns.
pub(crate) struct Output {
    /// `Result<T, E>` as written, `impl Trait` in it replaced by `_`.
    pub(crate) result: TokenStream,
    pub(crate) ok: Side,
    pub(crate) err: Side,
    /// The `Ok` type holds an `impl Trait`, which has no name.
    pub(crate) opaque: bool,
}

/// `T` or `E` of `Result<T, E>`.
pub(crate) enum Side {
    Written(Type),
    /// Hidden behind an alias such as `anyhow::Result<T>`.
    Alias(Type),
}

/// What callers see of the arguments: known even when other arguments are wrong.
pub(crate) struct Outline {
    pub(crate) runtime: Path,
    pub(crate) scope: Scope,
    /// `#[idempotent]` stands there; otherwise `#[outbox]` alone.
    pub(crate) keyed: bool,
    /// A duplicate gets the stored result; otherwise nothing is stored.
    pub(crate) replay: bool,
    pub(crate) handler: Option<HandlerType>,
    pub(crate) batch: Option<Batch>,
}

/// `batch = "event in events"`, over `events: &[&T]` and `Result<Vec<R>, E>`.
pub(crate) struct Batch {
    /// `event`, for which a key speaks.
    pub(crate) event: Ident,
    /// `events`, the parameter.
    pub(crate) events: Ident,
    /// `&T`.
    pub(crate) event_type: Type,
    /// `R`, or `()` where the function returns nothing for each.
    pub(crate) result: Type,
}

pub(crate) enum Scope {
    /// The module's path and this name.
    Default(String),
    Literal(LitStr),
}

/// The other arguments.
pub(crate) struct Terms {
    /// `None` with `#[outbox]` alone.
    pub(crate) claim: Option<Claim>,
    pub(crate) publish: Option<Publish>,
}

/// The arguments of `#[idempotent]`.
pub(crate) struct Claim {
    pub(crate) key: Expression,
    pub(crate) fingerprint: Option<Expression>,
    pub(crate) record: bool,
    pub(crate) in_flight: InFlight,
    pub(crate) retention: Option<Retention>,
    pub(crate) retry: Option<Retry>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) result_version: u32,
    pub(crate) hash_key: bool,
}

/// An expression over the parameters.
pub(crate) struct Expression {
    /// As written.
    pub(crate) tokens: TokenStream,
    /// A reference to it, which moves nothing out of a parameter.
    pub(crate) borrowed: TokenStream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    /// The runtime's own default.
    Default,
    WaitMillis(u64),
    Fail,
}

/// `isolation = "serializable"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Serializable,
    RepeatableRead,
}

impl Isolation {
    pub(crate) const ALL: [Self; 2] = [Self::Serializable, Self::RepeatableRead];

    /// As it is written.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Serializable => "serializable",
            Self::RepeatableRead => "repeatable read",
        }
    }
}

/// `retry = 3`; zero means no retry.
pub(crate) struct Retry {
    pub(crate) times: u32,
    pub(crate) span: Span,
}

pub(crate) struct Retention {
    pub(crate) millis: u64,
    /// As written.
    pub(crate) text: String,
}

/// `#[outbox(topic = "..", key = "..")]`: the `Ok` value is the event.
pub(crate) struct Publish {
    pub(crate) topic: LitStr,
    pub(crate) key: Option<Expression>,
    /// The wire type: as written, or the last segment of the event's type.
    pub(crate) kind: LitStr,
}

/// `handler = ApplyPayment`.
pub(crate) struct HandlerType {
    pub(crate) name: Ident,
    pub(crate) message: Type,
    /// The function takes `&Received<M>`, not `&M`.
    pub(crate) envelope: bool,
    pub(crate) context: Option<Type>,
}
