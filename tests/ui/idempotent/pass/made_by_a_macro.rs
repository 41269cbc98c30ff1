#![deny(warnings)]
use idem_tests::ui::*;

macro_rules! handlers {
    ($($name:ident($($key:tt)*) $parameters:tt -> $output:ty $body:block)*) => {$(
        #[idempotent(key = $($key)*)]
        pub async fn $name $parameters -> $output $body
    )*};
}

handlers! {
    first(event.id)(tx: &mut PgConnection, event: &Payment) -> Result<i64, AppError> {
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        Ok(event.account)
    }

    second((event.account, event.id))(tx: &mut PgConnection, event: &Payment) -> Result<(), AppError> {
        sqlx::query("SELECT $1").bind(event.cents).execute(&mut *tx).await?;
        Ok(())
    }
}

macro_rules! whole {
    ($connection:ty, $message:ty, $key:expr) => {
        #[idempotent(key = "message.id", fingerprint = "message.cents", retry = 1)]
        pub async fn whole(tx: &mut $connection, message: &$message) -> Result<i64, AppError> {
            sqlx::query("SELECT $1")
                .bind($key)
                .execute(&mut *tx)
                .await?;
            Ok(message.account)
        }
    };
}

whole!(PgConnection, Payment, 7);

fn main() {}
