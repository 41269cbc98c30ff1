async fn apply_payment(
    tx: impl ::idem_runtime::Begin<PgConnection>,
    event: &PaymentCaptured,
) -> ::core::result::Result<
    ::idem_runtime::Outcome<Receipt>,
    ::idem_runtime::Error<AppError>,
> {
    const __SCOPE: &::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::apply_payment"
    );
    static __SPEC: ::idem_runtime::__private::Spec = ::idem_runtime::__private::Spec::new(
        __SCOPE,
    );
    ::idem_runtime::__private::inventory::submit! {
        ::idem_runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "apply_payment").key("event.id", || ::idem_runtime::__private::key_type:: < (&
        PaymentCaptured,), _, _ > (| (event,) | ::idem_runtime::__private::key(& (event
        .id))), "replay:Receipt@1").raises(|| ::idem_runtime::__private::error_of:: <
        ::core::result::Result < (), AppError > > ().find())
    }
    let mut __call = ::idem_runtime::__private::call(
        tx,
        &__SPEC,
        ::idem_runtime::__private::key(&(event.id)),
        ::core::option::Option::None,
        ::idem_runtime::__private::replay::<
            Receipt,
        >(::idem_runtime::__private::equality::<Receipt>().find()),
        ::idem_runtime::__private::rollback::<AppError>(),
    );
    if let ::core::option::Option::Some(__done) = __call.begin().await {
        return __done;
    }
    let __span = __call.span();
    let tx: &mut PgConnection = __call.connection();
    let __result = __span
        .within(async move {
            if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                Result<Receipt, AppError>,
            > {
                return __ret;
            }
            let __ret: Result<Receipt, AppError> = {
                sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
                    .bind(event.amount)
                    .bind(event.account)
                    .execute(&mut *tx)
                    .await?;
                Ok(Receipt { account: event.account })
            };
            #[allow(unreachable_code)] return __ret;
        })
        .await;
    __call.end(__result).await
}
