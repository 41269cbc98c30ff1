async fn place_order(
    tx: impl ::idem_runtime::Begin<PgConnection>,
    command: &PlaceOrder,
) -> ::core::result::Result<
    ::idem_runtime::Outcome<Receipt>,
    ::idem_runtime::Error<AppError>,
> {
    #[allow(unused_imports)]
    use outbox as _;
    const __SCOPE: &::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::place_order"
    );
    static __SPEC: ::idem_runtime::__private::Spec = ::idem_runtime::__private::Spec::new(
        __SCOPE,
    );
    ::idem_runtime::__private::inventory::submit! {
        ::idem_runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "place_order").key("command.id", || ::idem_runtime::__private::key_type:: < (&
        PlaceOrder,), _, _ > (| (command,) | ::idem_runtime::__private::key(& (command
        .id))), "replay:Receipt@1").raises(|| ::idem_runtime::__private::error_of:: <
        ::core::result::Result < (), AppError > > ().find()).emits(< OrderPlaced as
        ::idem_runtime::__private::EventSet > ::contracts)
    }
    let mut __call = ::idem_runtime::__private::call(
        tx,
        &__SPEC,
        ::idem_runtime::__private::key(&(command.id)),
        ::core::option::Option::None,
        ::idem_runtime::__private::replay::<
            Receipt,
        >(::idem_runtime::__private::equality::<Receipt>().find()),
        ::idem_runtime::__private::rollback::<AppError>(),
    );
    if let ::core::option::Option::Some(__done) = __call.begin().await {
        return __done;
    }
    let mut __outbox = __call.outbox::<OrderPlaced>();
    let __span = __call.span();
    let tx: &mut PgConnection = __call.connection();
    let outbox: &mut Outbox<OrderPlaced> = &mut __outbox;
    let __result = __span
        .within(async move {
            if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                Result<Receipt, AppError>,
            > {
                return __ret;
            }
            let __ret: Result<Receipt, AppError> = {
                outbox
                    .emit(
                        &OrderPlaced {
                            order_id: command.id,
                        },
                    );
                Ok(Receipt)
            };
            #[allow(unreachable_code)] return __ret;
        })
        .await;
    __call.emit(__outbox);
    __call.end(__result).await
}
