//! Where the server keeps the text of statements: its statistics, and its log.

use idem_runtime::{Classify, Disposition, Outbox, idempotent, outbox, verify_warnings};
use idem_tests::server::{Options, Postgres};
use sqlx::{PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::handlers::{Done, keyless, on, pool_with, runs};

/// A server with statistics of statements.
async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let start = || async {
        let options = Options::default()
            .set("shared_preload_libraries", "pg_stat_statements")
            .set("pg_stat_statements.max", 1_000)
            .set("pg_stat_statements.track", "all");
        Postgres::start(options).await.unwrap()
    };
    SERVER.get_or_init(start).await
}

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("refused for good")]
struct Refused {
    why: String,
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self {
            why: error.to_string(),
        }
    }
}

impl Classify for Refused {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

#[idempotent(key = "id", scope = "postgres.refuses", on_error = "record")]
#[outbox]
async fn refuses(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Done>,
    id: &str,
    text: &str,
) -> Result<String, Refused> {
    sqlx::query("SELECT 'of the application'")
        .execute(tx)
        .await?;
    outbox.emit(&Done { text: text.into() });
    Err(Refused { why: text.into() })
}

/// Delivers messages of every kind, each with a key and a text of its own.
async fn deliver(pool: &PgPool, n: usize) {
    let (id, text) = (format!("the-key-{n}"), format!("the-text-{n}"));
    for events in [0, 1, 3] {
        let id = format!("{id}-{events}");
        for _ in 0..2 {
            let _outcome = runs(pool, &id, "SELECT 'of the application'", &text, events)
                .await
                .unwrap();
        }
    }
    keyless(pool, "SELECT 'of the application'", &text)
        .await
        .unwrap();
    for _ in 0..2 {
        assert!(refuses(pool, &id, &text).await.is_err());
    }
    let mut tx = pool.begin().await.unwrap();
    for events in [0, 1, 3] {
        let id = format!("{id}-joined-{events}");
        for _ in 0..2 {
            let _outcome = runs(&mut tx, &id, "SELECT 'of the application'", &text, events)
                .await
                .unwrap();
        }
    }
    tx.commit().await.unwrap();
}

/// Guards: our functions are called by SELECT, whose constants the statistics leave out. For a CALL
/// they keep them.
#[tokio::test]
async fn statistics_of_statements_keep_one_entry_a_kind_and_no_value() {
    let db = on(server().await).await;
    db.execute("CREATE EXTENSION pg_stat_statements").await;
    let entries = "SELECT count(*) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    deliver(&db.pool, 0).await;
    let large = "x".repeat(100_000);
    let _outcome = runs(&db.pool, "large", "SELECT 1", &large, 3)
        .await
        .unwrap();
    let once = db.number(entries).await;
    for n in 1..40 {
        deliver(&db.pool, n).await;
    }
    let often = db.number(entries).await;
    assert!(often <= once + 3, "{once} entries, then {often}");
    let texts: Vec<String> = sqlx::query_scalar("SELECT query FROM pg_stat_statements")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    for secret in ["the-key-", "the-text-"] {
        let hexed = hex::encode(secret);
        for text in &texts {
            assert!(!text.contains(secret) && !text.contains(&hexed), "{text}");
        }
    }
    assert!(texts.iter().all(|text| text.len() < 50_000));
    assert!(texts.iter().any(|text| text.contains("idem_finish")));
    // The application's own statement is there, counted as often as it ran.
    let calls = "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE query LIKE 'SELECT $1' OR query LIKE '%of the application%'";
    assert!(db.number(calls).await >= 40 * 8);
}

/// Guards: the settings that `verify_warnings` looks at are those by which the server's log keeps
/// what calls send.
#[tokio::test]
async fn a_setting_is_warned_of_if_and_only_if_the_log_then_keeps_payloads() {
    let db = on(server().await).await;
    for (n, (settings, kept)) in [
        (&[][..], false),
        (&[("log_statement", "ddl")], false),
        (&[("log_statement", "mod")], false),
        (&[("log_statement", "all")], true),
        (&[("log_min_duration_statement", "0")], true),
        (&[("log_min_duration_sample", "0")], true),
        (&[("log_transaction_sample_rate", "1")], true),
        (&[("pg_stat_statements.track_utility", "on")], false),
        (&[("session_preload_libraries", "auto_explain")], false),
        (
            &[
                ("auto_explain.log_min_duration", "0"),
                ("session_preload_libraries", "auto_explain"),
            ],
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let pool = pool_with(&db, settings).await;
        let (key, text) = (format!("key-in-log-{n}-"), format!("text-in-log-{n}-"));
        let outcome = runs(&pool, &key, "SELECT 1", &text, 1).await;
        assert!(outcome.unwrap().is_executed());
        let log = server().await.log();
        let is_kept = log.contains(&hex::encode(&key)) || log.contains(&hex::encode(&text));
        assert_eq!(is_kept, kept, "{settings:?}");
        let warnings = verify_warnings(&pool).await.unwrap();
        assert_eq!(!warnings.is_empty(), kept, "{settings:?}: {warnings:?}");
        if let [warning] = &warnings[..] {
            let (name, value) = settings[0];
            let named = format!("`{name}` is `{value}`");
            assert!(warning.contains(&named), "{warning}");
            // The fix ends it, in the sessions that are opened from then on.
            let fix = warning.rsplit_once(": ").unwrap().1;
            assert!(fix.starts_with("ALTER ROLE"), "{warning}");
        }
    }
}
