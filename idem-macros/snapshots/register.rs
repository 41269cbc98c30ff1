async fn register(
    tx: impl ::idem_runtime::Begin<PgConnection>,
    user: &NewUser,
) -> ::core::result::Result<UserRegistered, ::idem_runtime::Error<AppError>> {
    const __SCOPE: &::core::primitive::str = ::core::concat!(
        ::core::module_path!(), "::register"
    );
    static __SPEC: ::idem_runtime::__private::Spec = ::idem_runtime::__private::Spec::new(
        __SCOPE,
    );
    ::idem_runtime::__private::inventory::submit! {
        ::idem_runtime::__private::Contract::new(::core::env!("CARGO_PKG_NAME"), __SCOPE,
        "register").raises(|| ::idem_runtime::__private::error_of:: <
        ::core::result::Result < (), AppError > > ().find()).emits(||
        ::std::vec![::idem_runtime::__private::EventContract::new("users.registered",
        "UserRegistered", "user.id")])
    }
    let mut __call = ::idem_runtime::__private::transaction(tx, &__SPEC);
    let __ordering_key = ::core::option::Option::Some(
        ::idem_runtime::__private::ordering_key(&(user.id)),
    );
    if let ::core::result::Result::Err(__done) = __call.begin().await {
        return ::core::result::Result::Err(__done);
    }
    let __span = __call.span();
    let tx: &mut PgConnection = __call.connection();
    let __result = __span
        .within(async move {
            if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                Result<UserRegistered, AppError>,
            > {
                return __ret;
            }
            let __ret: Result<UserRegistered, AppError> = { insert(tx, user).await };
            #[allow(unreachable_code)] return __ret;
        })
        .await;
    __call.emit_value("users.registered", "UserRegistered", __ordering_key, &__result);
    __call.end(__result).await
}
