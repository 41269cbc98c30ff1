//! Calls as they pass on the wire.

use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Postgres};

use crate::begin::Begin;
use crate::store::explorable::Explorable;
use crate::testing::Mode;
use crate::testing::wire::Protocol;

impl Explorable for Postgres {
    const PROTOCOL: Option<Protocol> = Some(Protocol::Postgres);

    const MODES: &'static [Mode] = &[
        Mode::CutRequest,
        Mode::CutReply,
        Mode::TruncatedReply,
        Mode::SerializationFailure,
        Mode::Deadlock,
        Mode::Dropped,
        Mode::InARow,
        Mode::AtOnce,
        Mode::Killed,
    ];

    fn begin(pool: &PgPool) -> impl Begin<PgConnection> {
        pool
    }

    fn label(sql: &str) -> Option<&'static str> {
        Some(match sql {
            sql if sql.contains("idem_claim(") => "idem: BEGIN and the claim",
            sql if sql.contains("idem_finish(") => "idem: events, result and COMMIT",
            sql if sql.contains("FROM idem_keys") => "idem: looks the key up",
            _ => return None,
        })
    }
}
