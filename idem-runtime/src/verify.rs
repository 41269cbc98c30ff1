//! Whether this program is fit to handle messages: asked once, before it takes the first.

use std::fmt;

use sqlx::Pool;

use crate::contract::{DuplicateScope, SharedScopes, duplicate_scopes};
use crate::store::Store;

/// Checks at start-up what would otherwise fail with the first message. Changes nothing, so that a
/// role without the right to run [`migrate`](crate::migrate) can call it.
///
/// * No two handlers of this program have one scope.
/// * The tables are there, of this release's version or a later one; this role may do what a
///   handler needs, and the server takes writes.
/// * PostgreSQL: the functions are found in the tables' schema, were made for it, and may be
///   called. MySQL, MariaDB: the tables have transactions. SQLite: the encoding is UTF-8, and there
///   is a journal.
///
/// What [`verify_warnings`] finds is logged at WARN and is no error.
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn start(url: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = sqlx::PgPool::connect(url).await?;
/// idem_runtime::verify(&pool).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// See [`VerifyError`]: each names its fix.
pub async fn verify<DB: Store>(pool: &Pool<DB>) -> Result<(), VerifyError> {
    let duplicates = duplicate_scopes();
    if !duplicates.is_empty() {
        return Err(VerifyError::DuplicateScopes(duplicates.to_vec()));
    }
    let missing = DB::missing_requirements(pool)
        .await
        .map_err(VerifyError::Store)?;
    if !missing.is_empty() {
        return Err(VerifyError::MissingRequirements(missing));
    }
    for warning in DB::warnings(pool).await.map_err(VerifyError::Store)? {
        tracing::warn!("{warning}");
    }
    let found = DB::schema_version(pool).await.map_err(VerifyError::Store)?;
    let needed = u32::try_from(DB::MIGRATIONS.len()).expect("a handful of migrations");
    if found.is_none_or(|found| found < needed) {
        return Err(VerifyError::NotMigrated { found, needed });
    }
    Ok(())
}

/// What in this database could break the promise for a handler that writes to it, or show what it
/// stores: one sentence each, with its fix.
///
/// Only you know which of your tables a handler writes to, and how the server's logs are protected.
/// So nothing here is an error: [`verify`] only logs it.
///
/// * MySQL, MariaDB: tables of the connection's database whose engine has no transactions
///   (`MyISAM`, `MEMORY`, `Aria`). What a failed handler wrote there stays, and the next delivery
///   writes it again.
/// * PostgreSQL: tables of the connection's schema that are `UNLOGGED`. A crash of the server
///   empties them.
/// * SQLite: a journal in memory, which does not survive the process.
///
/// It also names the settings by which a server keeps the text of statements that succeed, and in
/// them keys, results and events: `log_statement`, `log_min_duration_statement`,
/// `log_min_duration_sample`, `log_transaction_sample_rate` and `auto_explain.log_min_duration` on
/// PostgreSQL, and the general log, the slow query log and `events_statements_history_long` on
/// MySQL and MariaDB.
///
/// ```no_run
/// # #[cfg(feature = "mysql")]
/// # async fn start(pool: &sqlx::MySqlPool) -> Result<(), Box<dyn std::error::Error>> {
/// let warnings = idem_runtime::verify_warnings(pool).await?;
/// assert!(warnings.is_empty(), "{warnings:#?}"); // in a test of the schema, say
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the database refuses, or can't be reached.
pub async fn verify_warnings<DB: Store>(pool: &Pool<DB>) -> Result<Vec<String>, sqlx::Error> {
    DB::warnings(pool).await
}

/// Why a program should not start to handle messages.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// More than one handler has the same scope: what one of them handled would be a duplicate for
    /// the other.
    DuplicateScopes(Vec<DuplicateScope>),
    /// The tables are missing, or older than this release.
    NotMigrated {
        /// The version that is there.
        found: Option<u32>,
        /// The version that this release needs.
        needed: u32,
    },
    /// Handlers can't run on this database yet: one sentence for each reason, with its fix.
    MissingRequirements(Vec<String>),
    /// The database refused, or could not be reached.
    Store(sqlx::Error),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateScopes(scopes) => SharedScopes(scopes).fmt(f),
            Self::NotMigrated { found, needed } => {
                match found {
                    Some(found) => write!(
                        f,
                        "the tables are of version {found} and this release needs version {needed}"
                    )?,
                    None => f.write_str(
                        "the tables `idem_keys`, `idem_outbox` and `idem_dead_letters` are not in the database, or not in the \
                         schema that this connection looks in",
                    )?,
                }
                f.write_str(
                    "; call `idem_runtime::migrate(&pool).await` with a role that may create tables, or apply the SQL in `migrations/`",
                )
            }
            Self::MissingRequirements(missing) => {
                f.write_str("handlers can't run on this database yet:")?;
                missing.iter().try_for_each(|lack| write!(f, "\n  {lack}"))
            }
            Self::Store(error) => write!(f, "the tables can't be checked: {error}"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_reason_says_what_to_do_and_only_the_databases_has_a_source() {
        let missing = VerifyError::NotMigrated {
            found: None,
            needed: 2,
        };
        let outdated = VerifyError::NotMigrated {
            found: Some(1),
            needed: 2,
        };
        let unfit = VerifyError::MissingRequirements(vec!["GRANT it".into()]);
        let store = VerifyError::Store(sqlx::Error::PoolTimedOut);
        for (error, part) in [
            (&missing, "migrate(&pool)"),
            (&outdated, "of version 1 and this release needs version 2"),
            (&unfit, "\n  GRANT it"),
            (&store, "can't be checked"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let sources = [&missing, &outdated, &unfit, &store].map(|error| error.source().is_some());
        assert_eq!(sources, [false, false, false, true]);
    }
}
