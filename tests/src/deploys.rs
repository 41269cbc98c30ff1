//! One handler as several deploys of a program have it.

/// Declares functions that stand for one handler in several deploys: they share a scope, and differ
/// in arguments or in what they return.
///
/// They stand in one place under one name, so they are not taken for several handlers that share a
/// scope, which no call would go through with.
///
/// ```ignore
/// deploys! {
///     [key = order.id, scope = "orders.place"]
///     before [] (tx: &mut PgConnection, order: &Order) -> Result<i64, sqlx::Error> { Ok(1) }
///     after [result_version = 2] (tx: &mut PgConnection, order: &Order) -> Result<String, sqlx::Error> {
///         Ok("1".into())
///     }
/// }
/// ```
#[macro_export]
macro_rules! deploys {
    (
        @one [$($shared:tt)*] $deploy:ident [$($own:tt)*] [$($attributes:tt)*] $parameters:tt
        -> $output:ty $body:block
    ) => {
        mod $deploy {
            #[allow(clippy::wildcard_imports)]
            use super::*;

            #[::idem_runtime::idempotent($($shared)*, $($own)*)]
            $($attributes)*
            pub(crate) async fn handler $parameters -> $output $body
        }
        pub(crate) use $deploy::handler as $deploy;
    };
    ($shared:tt $(
        $deploy:ident $own:tt $(# $attribute:tt)* ($($parameter:tt)*) -> $output:ty $body:block
    )*) => {
        $($crate::deploys! {
            @one $shared $deploy $own [$(# $attribute)*] ($($parameter)*) -> $output $body
        })*
    };
}
