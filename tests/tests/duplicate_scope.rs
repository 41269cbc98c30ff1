//! Two handlers of one program under one scope: each would take what the other handled for its own.

#![allow(
    clippy::used_underscore_binding,
    reason = "these handlers are never run"
)]

use idem_runtime::{VerifyError, idempotent, verify};
use sqlx::{PgConnection, PgPool};

#[idempotent(key = "id", scope = "payments.apply")]
async fn apply(_tx: &mut PgConnection, id: &str) -> Result<usize, sqlx::Error> {
    Ok(id.len())
}

#[idempotent(key = "id", scope = "payments.apply")]
async fn reverse(_tx: &mut PgConnection, id: &str) -> Result<usize, sqlx::Error> {
    Ok(id.len())
}

const BOTH: &str = "two handlers have one scope, so that a message which one of them handled is a duplicate for the other, and is \
    lost there; give each a scope of its own with `scope = \"...\"`:
  payments.apply: tests/tests/doubled_scope.rs:11 and tests/tests/doubled_scope.rs:16";

/// The pool never connects: no database is asked about a mistake in the program.
#[tokio::test]
async fn verify_names_both_places() {
    let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/none").unwrap();
    let error = verify(&pool).await.unwrap_err();
    assert_eq!(error.to_string(), BOTH);
    let VerifyError::DuplicateScopes(doubled) = error else {
        panic!("{error}");
    };
    assert_eq!(doubled.len(), 1);
    assert_eq!(doubled[0].scope, "payments.apply");
}

#[test]
fn the_contract_test_names_both_places_and_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let accept = Some("accept".as_ref());
    let package = env!("CARGO_PKG_NAME");
    let directory = folder.path().to_str().unwrap();
    let refused =
        idem_runtime::__private::check_contracts(package, directory, "idem.lock", None, accept)
            .unwrap_err();
    assert_eq!(format!("{refused:?}"), BOTH);
    assert!(!folder.path().join("idem.lock").exists());
}

#[expect(dead_code, reason = "only their contracts are looked at")]
async fn both(pool: &PgPool) -> [usize; 2] {
    [
        apply(pool, "a").await.unwrap().into_inner(),
        reverse(pool, "b").await.unwrap().into_inner(),
    ]
}
