//! Calls as they pass the proxy.

use idem_runtime::Begin;
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Postgres};

use super::Explorable;
use crate::fault::FaultKind;
use crate::fault_proxy::Protocol;

impl Explorable for Postgres {
    const PROTOCOL: Option<Protocol> = Some(Protocol::Postgres);

    const FAULT_KINDS: &'static [FaultKind] = &[
        FaultKind::CutRequest,
        FaultKind::CutReply,
        FaultKind::TruncatedReply,
        FaultKind::SerializationFailure,
        FaultKind::Deadlock,
        FaultKind::Dropped,
        FaultKind::Sequential,
        FaultKind::Concurrent,
        FaultKind::Killed,
    ];

    fn begin(pool: &PgPool) -> impl Begin<PgConnection> {
        pool
    }

    fn label(sql: &str) -> Option<&'static str> {
        let ends = sql.contains("idem_finish(") || sql.contains("idem_emit_and_finish(");
        let commits = sql.contains("COMMIT");
        Some(match sql {
            sql if sql.contains(".idem_claim(true") => "idem: BEGIN and the claim",
            sql if sql.contains(".idem_claim(") => "idem: the claim",
            sql if sql.contains(".idem_begin(true") => "idem: BEGIN",
            sql if sql.contains("'idem_home()'") => "idem: finds the tables",
            _ if ends && commits => "idem: events, result and COMMIT",
            _ if ends => "idem: events and result",
            sql if sql.contains("idem_find(") => "idem: looks the key up",
            sql if sql.starts_with("ROLLBACK TO SAVEPOINT idem_") => "idem: undoes the effect",
            sql if sql.contains(" SAVEPOINT idem_") => match sql {
                sql if sql.starts_with("RELEASE") && commits => "idem: events and COMMIT",
                sql if sql.starts_with("RELEASE") => "idem: events",
                _ => "idem: BEGIN",
            },
            _ => return None,
        })
    }
}
