//! What keeps the tables small and says what waits.

mod mariadb;
mod postgres;
mod sqlite;
