//! What every arm on PostgreSQL works on.

pub(crate) const EFFECT: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";

pub(crate) const ACCOUNTS: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO accounts SELECT id, 0 FROM generate_series(0, 9999) id;";
