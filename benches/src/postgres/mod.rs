//! The work on PostgreSQL.

mod floor;
#[cfg(feature = "peers")]
mod peers;
pub(crate) mod statements;

use anyhow::Result;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres};

use self::statements::{ACCOUNTS, EFFECT};
use crate::arm::{self, Arm, Payment, name};
use crate::saturated::Saturated;
use crate::work::work;

pub(crate) const SETTINGS: &str = "fsync and synchronous_commit on; pools: max_connections = 1 (underway: 2), \
    test_before_acquire = false, otherwise sqlx's defaults";

const BEGIN: &str = "BEGIN";
const CLAIM: &str = "INSERT INTO processed (handler, key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const STORE: &str = "UPDATE processed SET result = $1 WHERE handler = $2 AND key = $3";
const REPLAY: &str = "SELECT result FROM processed WHERE handler = $1 AND key = $2";
const PUBLISH: &str = "INSERT INTO outbox (id, topic, key, payload) VALUES ($1, $2, $3, $4)";

const TABLES: &str = "
    CREATE TABLE processed (
        handler    text        NOT NULL,
        key        uuid        NOT NULL,
        result     jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (handler, key)
    );
    CREATE TABLE outbox (
        seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id           uuid        NOT NULL UNIQUE,
        topic        text        NOT NULL,
        key          text        NOT NULL,
        payload      jsonb       NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz
    );
    CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;";

work!(Postgres, PgConnection);

async fn connect(url: &str) -> Result<Pool> {
    connect_many(url, 1).await
}

/// A pool of that many connections, all of them made.
pub(crate) async fn connect_many(url: &str, connections: u32) -> Result<Pool> {
    let pool = PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    Ok(pool)
}

/// Makes the tables, in a database for us and one for each peer.
pub(crate) async fn set_up([main, peers @ ..]: [&str; 4]) -> Result<()> {
    self::set_up_work(main).await?;
    #[cfg(feature = "peers")]
    peers::set_up(peers).await?;
    let _ = peers;
    Ok(())
}

/// The arms that are compared at saturation, each with a pool of as many connections.
pub(crate) async fn saturated(url: &str, connections: u32) -> Result<[Saturated; 3]> {
    let (bare, theirs, mine) = (
        connect_many(url, connections).await?,
        connect_many(url, connections).await?,
        connect_many(url, connections).await?,
    );
    Ok([
        Saturated::new(name::BARE, move |payment| hand::bare(bare.clone(), payment)),
        Saturated::new(name::HAND, move |payment| {
            let pool = theirs.clone();
            async move { arm::expect_executed(hand::apply(pool, payment).await?.1) }
        }),
        Saturated::new(name::OURS, move |payment| {
            let pool = mine.clone();
            async move { arm::executed(&ours::apply(&pool, &payment).await?) }
        }),
    ])
}

/// Lets each flush of the WAL take a millisecond longer, in sessions to come: a disk behind a
/// network, as clouds have them.
pub(crate) async fn slow_down_flushes(urls: [&str; 4]) -> Result<()> {
    for url in urls {
        // The server sleeps before it flushes, whoever else is active.
        let sql = "DO $$ BEGIN \
            EXECUTE format('ALTER DATABASE %I SET commit_delay = 1000', current_database()); \
            EXECUTE format('ALTER DATABASE %I SET commit_siblings = 0', current_database()); END $$";
        let mut conn = PgConnection::connect(url).await?;
        conn.execute(sql).await?;
        conn.close().await?;
    }
    Ok(())
}

/// The arms on these databases.
pub(crate) async fn arms([main, peers @ ..]: [&str; 4]) -> Result<Vec<Arm>> {
    let mut arms = work(main).await?;
    arms.extend(floor::arms(main).await?);
    #[cfg(feature = "peers")]
    arms.extend(peers::arms(peers).await?);
    let _ = peers;
    Ok(arms)
}
