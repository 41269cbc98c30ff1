pub async fn post<'a, T: Entry>(
    &self,
    tx: impl ::idem_runtime::Begin<SqliteConnection>,
    event: Posting<'a, T>,
    (left, right): (u32, u32),
) -> ::core::result::Result<
    ::idem_runtime::Outcome<Balance>,
    ::idem_runtime::Error<sqlx::Error>,
>
where
    T: Clone,
{
    const __SCOPE: &::core::primitive::str = "ledger.post";
    static __SPEC: ::idem_runtime::__private::Spec = ::idem_runtime::__private::Spec::new(
            __SCOPE,
        )
        .retry(2u32);
    ::idem_runtime::__private::inventory::submit! {
        ::idem_runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "post").key("event.id", || ::std::string::String::from("_"), "replay:Balance@1")
        .raises(|| ::idem_runtime::__private::error_of:: < ::core::result::Result < (),
        sqlx::Error > > ().find())
    }
    let mut __call = ::idem_runtime::__private::call(
            tx,
            &__SPEC,
            ::idem_runtime::__private::key(&(event.id)),
            ::core::option::Option::None,
            ::idem_runtime::__private::replay::<
                Balance,
            >(::idem_runtime::__private::equality::<Balance>().find()),
            ::idem_runtime::__private::rollback::<sqlx::Error>(),
        )
        .conflict(|__error| {
            #[allow(unused_imports)]
            use ::idem_runtime::__private::{
                ViaError as _, ViaLocal as _, ViaNothing as _, ViaShared as _,
            };
            (&&&&::idem_runtime::__private::Probe(__error)).database_error()
        });
    loop {
        if let ::core::option::Option::Some(__done) = __call.begin().await {
            return __done;
        }
        let mut event = ::core::clone::Clone::clone(&event);
        let left = ::core::clone::Clone::clone(&left);
        let right = ::core::clone::Clone::clone(&right);
        let __span = __call.span();
        let tx: &mut SqliteConnection = __call.connection();
        let __result = __span
            .within(async move {
                if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                    Result<Balance, sqlx::Error>,
                > {
                    return __ret;
                }
                let __ret: Result<Balance, sqlx::Error> = {
                    self.insert(tx, event, left + right).await
                };
                #[allow(unreachable_code)] return __ret;
            })
            .await;
        if let ::core::option::Option::Some(__done) = __call.end_or_retry(__result).await
        {
            return __done;
        }
    }
}
