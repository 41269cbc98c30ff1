//! Two handlers of one program under one scope: each would take what the other handled for its own.
//!
//! The pools never connect: no database is asked about a mistake in the program.

#![allow(
    clippy::used_underscore_binding,
    reason = "these handlers are never run"
)]

use std::time::Duration;

use idem_runtime::{
    Disposition, Error, Outcome, Received, VerifyError, idempotent, lookup, migrate, verify,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};

struct Payment {
    id: String,
}

#[idempotent(key = "payment.id", scope = "payments.apply", handler = Apply)]
async fn apply(_tx: &mut PgConnection, payment: &Payment) -> Result<usize, sqlx::Error> {
    Ok(payment.id.len())
}

#[idempotent(key = "payment.id", scope = "payments.apply")]
async fn reverse(_tx: &mut PgConnection, payment: &Payment) -> Result<usize, sqlx::Error> {
    Ok(payment.id.len())
}

type Ended = Result<Outcome<usize>, Error<sqlx::Error>>;

/// The default scope is the path of the module and the name of the function, so it does not tell a
/// function in this one from a function of the same name in the next one.
async fn in_one_function(pool: &PgPool, payment: &Payment) -> Ended {
    #[idempotent(key = "payment.id")]
    async fn handle(_tx: &mut PgConnection, payment: &Payment) -> Result<usize, sqlx::Error> {
        Ok(payment.id.len())
    }
    handle(pool, payment).await
}

async fn in_another_function(pool: &PgPool, payment: &Payment) -> Ended {
    #[idempotent(key = "payment.id")]
    async fn handle(_tx: &mut PgConnection, payment: &Payment) -> Result<usize, sqlx::Error> {
        Ok(payment.id.len())
    }
    handle(pool, payment).await
}

#[idempotent(key = "payment.id")]
async fn alone(_tx: &mut PgConnection, payment: &Payment) -> Result<usize, sqlx::Error> {
    Ok(payment.id.len())
}

const HEAD: &str = "two handlers have one scope, so that a message which one of them handled is a \
    duplicate for the other, and is lost there; give each a scope of its own with \
    `scope = \"...\"`:";

/// The places of the attributes that begin with `attribute`, as an error names them.
fn places(scope: &str, attribute: &str) -> String {
    let source = include_str!("duplicate_scope.rs");
    let lines = source.lines().enumerate();
    let places: Vec<String> = lines
        .filter(|(_, line)| line.starts_with(attribute))
        .map(|(at, _)| format!("tests/tests/duplicate_scope.rs:{}", at + 1))
        .collect();
    format!("\n  {scope}: {}", places.join(" and "))
}

fn nested() -> String {
    places("duplicate_scope::handle", "    #[idempotent(")
}

fn explicit() -> String {
    places(
        "payments.apply",
        r#"#[idempotent(key = "payment.id", scope = "payments.apply""#,
    )
}

fn pool() -> PgPool {
    PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy("postgres://127.0.0.1:1/none")
        .unwrap()
}

fn payment() -> Payment {
    Payment { id: "p".into() }
}

#[tokio::test]
async fn the_first_call_names_both_places_of_its_own_scope() {
    let (pool, payment) = (pool(), payment());
    for (ended, places) in [
        (apply(&pool, &payment).await, explicit()),
        (reverse(&pool, &payment).await, explicit()),
        (in_one_function(&pool, &payment).await, nested()),
        (in_another_function(&pool, &payment).await, nested()),
    ] {
        let error = ended.unwrap_err();
        assert_eq!(error.to_string(), format!("{HEAD}{places}"));
        assert_eq!(error.disposition(), Disposition::Retry);
    }
}

#[tokio::test]
async fn a_lookup_names_both_places() {
    let asked = lookup::<Apply>(&pool(), &Received::new("m", payment()), &()).await;
    let error = asked.unwrap_err().to_string();
    assert_eq!(error, format!("{HEAD}{}", explicit()));
}

/// Guards: only the handlers that share a scope are refused.
#[tokio::test]
async fn a_handler_with_a_scope_of_its_own_goes_on_to_the_database() {
    let ended = alone(&pool(), &payment()).await;
    assert!(matches!(ended, Err(Error::Store(_))), "{ended:?}");
}

#[tokio::test]
async fn migrate_and_verify_name_the_places_of_all() {
    let all = format!("{HEAD}{}{}", nested(), explicit());
    let error = migrate(&pool()).await.unwrap_err();
    assert_eq!(error.to_string(), all);
    let error = verify(&pool()).await.unwrap_err();
    assert_eq!(error.to_string(), all);
    let VerifyError::DuplicateScopes(duplicates) = error else {
        panic!("{error}");
    };
    let scopes: Vec<_> = duplicates.iter().map(|found| found.scope).collect();
    assert_eq!(scopes, ["duplicate_scope::handle", "payments.apply"]);
}

#[test]
fn the_contract_test_names_all_places_and_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let accept = Some("accept".as_ref());
    let package = env!("CARGO_PKG_NAME");
    let directory = folder.path().to_str().unwrap();
    let refused =
        idem_runtime::__private::check_contracts(package, directory, "idem.lock", None, accept)
            .unwrap_err();
    let all = format!("{HEAD}{}{}", nested(), explicit());
    assert_eq!(format!("{refused:?}"), all);
    assert!(!folder.path().join("idem.lock").exists());
}
