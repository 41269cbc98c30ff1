//! Calls as they pass on the wire.

use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, MySqlPool};

use crate::begin::Begin;
use crate::store::explorable::Explorable;
use crate::testing::Mode;
use crate::testing::wire::Protocol;

impl Explorable for MySql {
    const PROTOCOL: Option<Protocol> = Some(Protocol::MySql);

    const MODES: &'static [Mode] = &[
        // A serialization failure is told by the same error as a deadlock.
        Mode::CutRequest,
        Mode::CutReply,
        Mode::TruncatedReply,
        Mode::Deadlock,
        Mode::Dropped,
        Mode::InARow,
        Mode::AtOnce,
        Mode::Killed,
    ];

    fn begin(pool: &MySqlPool) -> impl Begin<MySqlConnection> {
        pool
    }

    fn label(sql: &str) -> Option<&'static str> {
        let (begins, commits) = (sql.contains("START TRANSACTION"), sql.contains("COMMIT"));
        Some(match sql {
            sql if sql.contains("INSERT INTO idem_keys") && begins => "idem: BEGIN and the claim",
            sql if sql.contains("INSERT INTO idem_keys") => "idem: the claim",
            sql if sql.contains("UPDATE idem_keys") && commits => "idem: events, result and COMMIT",
            sql if sql.contains("UPDATE idem_keys") => "idem: events and result",
            sql if sql.contains("FROM idem_keys") => "idem: looks the key up",
            sql if sql.starts_with("ROLLBACK TO SAVEPOINT idem_") => "idem: undoes the effect",
            sql if sql.starts_with("RELEASE SAVEPOINT idem_") && commits => {
                "idem: events and COMMIT"
            }
            sql if sql.starts_with("RELEASE SAVEPOINT idem_") => "idem: events",
            sql if sql.contains(" SAVEPOINT idem_") && begins => "idem: BEGIN",
            _ => return None,
        })
    }
}
