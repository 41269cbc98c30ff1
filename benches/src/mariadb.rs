//! The work on MariaDB.

use anyhow::Result;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{MySql, MySqlConnection};

use crate::arm::{self, Arm, Payment, name};
use crate::work::work;

pub(crate) const SETTINGS: &str = "innodb_flush_log_at_trx_commit = 1, no binary log; pools: max_connections = 1, \
    test_before_acquire = false, otherwise sqlx's defaults";

const BEGIN: &str = "BEGIN";
const EFFECT: &str = "UPDATE accounts SET balance = balance + ? WHERE id = ?";
const CLAIM: &str = "INSERT INTO processed (handler, `key`) VALUES (?, ?)";
const STORE: &str = "UPDATE processed SET result = ? WHERE handler = ? AND `key` = ?";
const REPLAY: &str =
    "SELECT result FROM processed WHERE handler = ? AND `key` = ? LOCK IN SHARE MODE";
const PUBLISH: &str = "INSERT INTO outbox (id, topic, `key`, payload) VALUES (?, ?, ?, ?)";

const ACCOUNTS: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL) ENGINE = InnoDB;
    INSERT INTO accounts SELECT seq, 0 FROM seq_0_to_9999;";

const TABLES: &str = "
    CREATE TABLE processed (
        handler    varbinary(255) NOT NULL,
        `key`      binary(16)     NOT NULL,
        result     json,
        created_at timestamp(6)   NOT NULL DEFAULT current_timestamp(6),
        PRIMARY KEY (handler, `key`)
    ) ENGINE = InnoDB;
    CREATE TABLE outbox (
        seq          bigint         NOT NULL AUTO_INCREMENT PRIMARY KEY,
        id           binary(16)     NOT NULL UNIQUE,
        topic        varchar(255)   NOT NULL,
        `key`        varchar(255)   NOT NULL,
        payload      json           NOT NULL,
        created_at   timestamp(6)   NOT NULL DEFAULT current_timestamp(6),
        published_at timestamp(6)   NULL,
        KEY outbox_pending (published_at, seq)
    ) ENGINE = InnoDB;";

work!(MySql, MySqlConnection);

async fn connect(url: &str) -> Result<Pool> {
    connect_many(url, 1).await
}

/// A pool of that many connections, all of them made.
pub(crate) async fn connect_many(url: &str, connections: u32) -> Result<Pool> {
    let pool = MySqlPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect(url)
        .await?;
    Ok(pool)
}

/// Makes the tables.
pub(crate) async fn set_up(url: &str) -> Result<()> {
    set_up_work(url).await
}

/// The arms on this database.
pub(crate) async fn arms(url: &str) -> Result<Vec<Arm>> {
    work(url).await
}
