//! Starts the private servers of the tests and prints where they are, until standard input ends:
//! to try an example against a real database, or to look around in one.
//!
//! ```text
//! cargo run -p idem-tests --bin servers
//! ```

use std::io::{self, Read as _};

use idem_tests::server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (postgres, mariadb, pgbouncer) =
        (server::postgres(), server::mariadb(), server::pgbouncer());
    let (behind_pooler, on_postgres, on_mariadb) = (
        pgbouncer.database().await,
        postgres.database().await,
        mariadb.database().await,
    );
    for (name, pid, url, folder) in [
        (
            "PostgreSQL",
            postgres.pid(),
            on_postgres.url(),
            postgres.folder(),
        ),
        ("MariaDB", mariadb.pid(), on_mariadb.url(), mariadb.folder()),
        (
            "PgBouncer",
            pgbouncer.pid(),
            behind_pooler.url(),
            pgbouncer.folder(),
        ),
    ] {
        println!("{name:<10}  {pid:>7}  {url}  {}", folder.display());
    }
    println!("They run until this program's standard input ends (Ctrl-D), or it is stopped.");
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
