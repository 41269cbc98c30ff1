/// Applies a payment.
pub(crate) async fn apply(
    tx: impl ::idem::Begin<PgConnection>,
    event: &Received<Payment>,
    prices: &Prices,
) -> ::core::result::Result<
    ::idem::Outcome<Receipt, ()>,
    ::idem::Error<<anyhow::Result<Receipt> as ::idem::__private::Returned>::Err>,
> {
    const __SCOPE: &::core::primitive::str = "payments.apply";
    static __SPEC: ::idem::__private::Spec = ::idem::__private::Spec::new(__SCOPE)
        .hash_key()
        .wait_ms(5000u64)
        .retention_ms(2592000000u64)
        .retry(3u32)
        .isolation(::idem::__private::Isolation::RepeatableRead)
        .result_version(2u32);
    ::idem::__private::inventory::submit! {
        ::idem::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "apply").key("(event.tenant,event.id)", || ::idem::__private::key_type:: < (&
        Received < Payment >,), _, _ > (| (event,) | ::idem::__private::key(& (& (event
        .tenant), & (event.id),))), "skip").hash_key().fingerprint("event.amount")
        .record().retention("30d").isolation("repeatable read").raises(||
        ::idem::__private::error_of:: < anyhow::Result < Receipt > > ().find())
    }
    let mut __call = ::idem::__private::call(
            tx,
            &__SPEC,
            ::idem::__private::key(&(&(event.tenant), &(event.id))),
            ::core::option::Option::Some(
                ::idem::__private::key(&(event.amount)).erase(),
            ),
            ::idem::__private::skip::<Receipt>(),
            ::idem::__private::record::<
                <anyhow::Result<Receipt> as ::idem::__private::Returned>::Err,
            >(
                ::idem::__private::equality::<
                    <anyhow::Result<Receipt> as ::idem::__private::Returned>::Err,
                >()
                    .find(),
            ),
        )
        .conflict(|__error| {
            #[allow(unused_imports)]
            use ::idem::__private::{
                ViaError as _, ViaLocal as _, ViaNothing as _, ViaShared as _,
            };
            (&&&&::idem::__private::Probe(__error)).database_error()
        });
    loop {
        if let ::core::option::Option::Some(__done) = __call.begin().await {
            return __done;
        }
        let __span = __call.span();
        let mut tx: &mut PgConnection = __call.connection();
        let __result = __span
            .within(async move {
                if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                    anyhow::Result<Receipt>,
                > {
                    return __ret;
                }
                let __ret: anyhow::Result<Receipt> = { body(tx, event).await };
                #[allow(unreachable_code)] return __ret;
            })
            .await;
        if let ::core::option::Option::Some(__done) = __call.end_or_retry(__result).await
        {
            return __done;
        }
    }
}
///[`apply`] as a [`Handler`](::idem::Handler).
pub(crate) struct Apply;
impl ::idem::Handler for Apply {
    type Database = <PgConnection as ::idem::__private::Connection>::Database;
    type Message = Payment;
    type Context = Prices;
    type Output = Receipt;
    type Replay = ();
    type Error = <anyhow::Result<Receipt> as ::idem::__private::Returned>::Err;
    const SCOPE: &'static ::core::primitive::str = "payments.apply";
    const RETENTION: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(
        ::core::time::Duration::from_millis(2592000000u64),
    );
    const HASH_KEY: ::core::primitive::bool = true;
    const ISOLATION: ::core::option::Option<::idem::__private::Isolation> = ::core::option::Option::Some(
        ::idem::__private::Isolation::RepeatableRead,
    );
    fn identity(
        __message: &::idem::Received<Self::Message>,
        __context: &Self::Context,
    ) -> ::idem::Identity {
        #[allow(unused_variables, unused_mut)]
        let event = __message;
        ::idem::__private::identity(
            ::idem::__private::key(&(&(event.tenant), &(event.id))),
            ::core::option::Option::Some(
                ::idem::__private::key(&(event.amount)).erase(),
            ),
            Self::HASH_KEY,
        )
    }
    fn replayer() -> ::idem::__private::Replayer<
        Self::Output,
        Self::Replay,
        Self::Error,
    > {
        ::idem::__private::Replayer::new(
            ::idem::__private::skip::<Receipt>(),
            ::idem::__private::record::<
                <anyhow::Result<Receipt> as ::idem::__private::Returned>::Err,
            >(
                ::idem::__private::equality::<
                    <anyhow::Result<Receipt> as ::idem::__private::Returned>::Err,
                >()
                    .find(),
            ),
            2u32,
        )
    }
    async fn call<B: ::idem::Begin<PgConnection>>(
        begin: B,
        message: &::idem::Received<Self::Message>,
        context: &Self::Context,
    ) -> ::core::result::Result<
        ::idem::Outcome<Self::Output, Self::Replay>,
        ::idem::Error<Self::Error>,
    > {
        apply(begin, message, context).await
    }
}
