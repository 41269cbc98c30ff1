//! Statements that fail as the server does when transactions conflict.

/// What the server says to one of two transactions that wait for each other, and to one that a
/// cluster can't certify.
pub(crate) const DEADLOCK: &str = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, \
    MESSAGE_TEXT = 'Deadlock found when trying to get lock; try restarting transaction'";

/// What the server does by itself with that error.
pub(crate) const ROLLBACK: &str = "ROLLBACK";
