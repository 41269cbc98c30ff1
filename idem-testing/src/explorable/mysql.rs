//! Calls as they pass the proxy.

use idem_runtime::Begin;
use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, MySqlPool};

use super::Explorable;
use crate::fault::FaultKind;
use crate::fault_proxy::Protocol;

impl Explorable for MySql {
    const PROTOCOL: Option<Protocol> = Some(Protocol::MySql);

    const FAULT_KINDS: &'static [FaultKind] = &[
        // A serialization failure has the same error number as a deadlock.
        FaultKind::CutRequest,
        FaultKind::CutReply,
        FaultKind::TruncatedReply,
        FaultKind::Deadlock,
        FaultKind::Dropped,
        FaultKind::Sequential,
        FaultKind::Concurrent,
        FaultKind::Killed,
    ];

    fn begin(pool: &MySqlPool) -> impl Begin<MySqlConnection> {
        pool
    }

    fn label(sql: &str) -> Option<&'static str> {
        let (begins, commits) = (sql.contains("START TRANSACTION"), sql.contains("COMMIT"));
        Some(match sql {
            sql if sql.contains("SELECT namespace FROM idem_schema") && !sql.contains("INSERT") => {
                "idem: finds the tables"
            }
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
