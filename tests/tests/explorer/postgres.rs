//! PostgreSQL. DDL is part of the transaction: a handler with DDL is sound.

use idem_testing::FaultKind;
use idem_tests::server::{self, Database};
use sqlx::{PgConnection, PgPool, Postgres};

#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Db = Postgres;
pub(crate) type Conn = PgConnection;
pub(crate) type Pool = PgPool;

pub(crate) const IDENTITY: &str = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
pub(crate) const DDL_COMMITS: bool = false;
pub(crate) const BEGIN_COMMITS: bool = true;

/// A subscription that ended long ago, and what extends it from whichever is later, its end or now.
pub(crate) const SUBSCRIPTIONS: &str =
    "CREATE TABLE subscriptions (id varchar(64) PRIMARY KEY, paid_until timestamptz NOT NULL, token varchar(36));
     INSERT INTO subscriptions VALUES ('evt-1', '2020-01-01 00:00:00', NULL)";
pub(crate) const EXTEND: &str = "UPDATE subscriptions SET paid_until = greatest(paid_until, now()) + interval '30 days' WHERE id = 'evt-1'";

/// A trigger that keeps in one row when an account was changed last.
pub(crate) const AUDIT: &str =
    "CREATE TABLE audit (account integer PRIMARY KEY, changed_at timestamptz NOT NULL);
     CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO audit VALUES (NEW.id, clock_timestamp())
         ON CONFLICT (account) DO UPDATE SET changed_at = excluded.changed_at;
         RETURN NEW;
     END $$;
     CREATE TRIGGER note_change AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION note_change()";

/// Creates a view, if it is not there.
pub(crate) const VIEW: &str = "CREATE OR REPLACE VIEW rich AS SELECT id FROM accounts";

/// Where a connection dies, where an acknowledgement is lost, where a statement fails.
pub(crate) const CUT: FaultKind = FaultKind::CutRequest;
pub(crate) const LOST: FaultKind = FaultKind::CutReply;
pub(crate) const FAILED: FaultKind = FaultKind::Deadlock;

pub(crate) async fn database() -> Database {
    server::postgres().database().await
}
