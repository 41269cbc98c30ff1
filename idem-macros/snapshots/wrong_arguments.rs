::core::compile_error! {
    "unknown argument `in_flght`; did you mean `in_flight`?"
}
::core::compile_error! {
    "\"30\" has no unit (ms, s, m, h or d); write e.g. \"30d\" or \"forever\""
}
#[allow(unused_variables, unused_mut)]
async fn apply(
    tx: impl ::idem_runtime::Begin<PgConnection>,
    event: &Payment,
) -> ::core::result::Result<
    ::idem_runtime::Outcome<Receipt>,
    ::idem_runtime::Error<AppError>,
> {
    ::core::unreachable!()
}
///[`apply`] as a [`Handler`](::idem_runtime::Handler).
struct Apply;
impl ::idem_runtime::Handler for Apply {
    type Database = <PgConnection as ::idem_runtime::__private::Connection>::Database;
    type Message = Payment;
    type Context = ();
    type Output = Receipt;
    type Replay = Receipt;
    type Error = AppError;
    const SCOPE: &'static ::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::apply"
    );
    const RETENTION: ::core::option::Option<::core::time::Duration> = ::core::option::Option::None;
    const HASH_KEY: ::core::primitive::bool = false;
    fn identity(
        __message: &::idem_runtime::Received<Self::Message>,
        __context: &Self::Context,
    ) -> ::idem_runtime::Identity {
        ::core::unreachable!()
    }
    fn replayer() -> ::idem_runtime::__private::Replayer<
        Self::Output,
        Self::Replay,
        Self::Error,
    > {
        ::core::unreachable!()
    }
    async fn call<B: ::idem_runtime::Begin<PgConnection>>(
        begin: B,
        message: &::idem_runtime::Received<Self::Message>,
        _: &Self::Context,
    ) -> ::core::result::Result<
        ::idem_runtime::Outcome<Self::Output, Self::Replay>,
        ::idem_runtime::Error<Self::Error>,
    > {
        apply(begin, &message.data).await
    }
}
