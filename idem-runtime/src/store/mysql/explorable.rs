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
        Some(match sql {
            sql if sql.contains("INSERT INTO idem_keys") => "idem: BEGIN and the claim",
            sql if sql.contains("UPDATE idem_keys") => "idem: events, result and COMMIT",
            sql if sql.contains("FROM idem_keys") => "idem: looks the key up",
            _ => return None,
        })
    }
}
