async fn apply_all(
    tx: impl ::idem_runtime::Begin<PgConnection>,
    events: &[&Payment],
) -> ::core::result::Result<
    ::std::vec::Vec<::idem_runtime::BatchEntry<Receipt, Receipt, AppError>>,
    ::idem_runtime::Error<AppError>,
> {
    #[allow(unused_imports)]
    use outbox as _;
    const __SCOPE: &::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::apply_all"
    );
    static __SPEC: ::idem_runtime::__private::Spec = ::idem_runtime::__private::Spec::new(
        __SCOPE,
    );
    ::idem_runtime::__private::inventory::submit! {
        ::idem_runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "apply_all").key("event.id", || ::idem_runtime::__private::key_type:: < (&
        Payment,), _, _ > (| (event,) | ::idem_runtime::__private::key(& (event.id))),
        "replay:Receipt@1").batch().raises(|| ::idem_runtime::__private::error_of:: <
        ::core::result::Result < (), AppError > > ().find()).emits(< Posted as
        ::idem_runtime::__private::EventSet > ::contracts)
    }
    let mut __call = ::idem_runtime::__private::batch(
        tx,
        &__SPEC,
        events
            .iter()
            .map(|&event| (
                ::idem_runtime::__private::key(&(event.id)),
                ::core::option::Option::None,
            )),
        ::idem_runtime::__private::replay::<
            Receipt,
        >(::idem_runtime::__private::equality::<Receipt>().find()),
        ::idem_runtime::__private::rollback::<AppError>(),
    );
    if let ::core::option::Option::Some(__done) = __call.begin().await {
        return __done;
    }
    let mut __outbox = __call.outbox::<Posted>();
    let __new = __call.new_events(events);
    let __span = __call.span();
    let tx: &mut PgConnection = __call.connection();
    let outbox: &mut BatchOutbox<Posted> = &mut __outbox;
    let events = &__new[..];
    let __result = __span
        .within(async move {
            if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                Result<Vec<Receipt>, AppError>,
            > {
                return __ret;
            }
            let __ret: Result<Vec<Receipt>, AppError> = {
                for (place, event) in events.iter().enumerate() {
                    outbox.of(place).emit(&Posted { account: event.account });
                }
                insert_all(tx, events).await
            };
            #[allow(unreachable_code)] return __ret;
        })
        .await;
    __call.emit(__outbox);
    __call.end(__result).await
}
///[`apply_all`] as a [`Handler`](::idem_runtime::Handler).
struct ApplyAll;
impl ::idem_runtime::Handler for ApplyAll {
    type Database = <PgConnection as ::idem_runtime::__private::Connection>::Database;
    type Message = Payment;
    type Context = ();
    type Output = Receipt;
    type Replay = Receipt;
    type Error = AppError;
    const SCOPE: &'static ::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::apply_all"
    );
    const RETENTION: ::core::option::Option<::core::time::Duration> = ::core::option::Option::None;
    const HASH_KEY: ::core::primitive::bool = false;
    const BATCH: ::core::primitive::bool = true;
    fn identity(
        __message: &::idem_runtime::Received<Self::Message>,
        __context: &Self::Context,
    ) -> ::idem_runtime::Identity {
        #[allow(unused_variables, unused_mut)]
        let event = &__message.data;
        ::idem_runtime::__private::identity(
            ::idem_runtime::__private::key(&(event.id)),
            ::core::option::Option::None,
            Self::HASH_KEY,
        )
    }
    fn replayer() -> ::idem_runtime::__private::Replayer<
        Self::Output,
        Self::Replay,
        Self::Error,
    > {
        ::idem_runtime::__private::Replayer::new(
            ::idem_runtime::__private::replay::<
                Receipt,
            >(::idem_runtime::__private::equality::<Receipt>().find()),
            ::idem_runtime::__private::rollback::<AppError>(),
            1u32,
        )
    }
    async fn call<B: ::idem_runtime::Begin<PgConnection>>(
        begin: B,
        message: &::idem_runtime::Received<Self::Message>,
        context: &Self::Context,
    ) -> ::core::result::Result<
        ::idem_runtime::Outcome<Self::Output, Self::Replay>,
        ::idem_runtime::Error<Self::Error>,
    > {
        ::idem_runtime::__private::only::<Self, B>(begin, message, context).await
    }
    async fn call_batch<B: ::idem_runtime::Begin<PgConnection>>(
        begin: B,
        deliveries: &[&::idem_runtime::Received<Self::Message>],
        _: &Self::Context,
    ) -> ::core::result::Result<
        ::std::vec::Vec<
            ::idem_runtime::BatchEntry<Self::Output, Self::Replay, Self::Error>,
        >,
        ::idem_runtime::Error<Self::Error>,
    > {
        apply_all(
                begin,
                &deliveries
                    .iter()
                    .map(|delivery| &delivery.data)
                    .collect::<::std::vec::Vec<_>>(),
            )
            .await
    }
}
