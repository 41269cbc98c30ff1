//! MariaDB.

use idem_runtime::migrate;
use idem_testing::__internals::{CloneDatabase as _, Value};
use idem_tests::server::{self, Database};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySql, MySqlPool, raw_sql,
};

use crate::suite;

const TABLES: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, account INT NOT NULL, note VARCHAR(50) NOT NULL,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (account) REFERENCES accounts (id));
INSERT INTO orders (id, account, note) VALUES (7, 1, 'gone');
DELETE FROM orders;
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, text TEXT);";

pub(crate) async fn database() -> Database {
    let database = server::mariadb().database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

suite::laws!(
    MySql,
    [
        a_copy_shows_what_was_done_to_it_and_to_no_other,
        a_used_copy_is_as_a_fresh_one,
        a_copy_in_use_is_discarded,
        burned_numbers_are_others_in_each_table,
        generated_values_are_matched_and_a_second_effect_is_found,
        the_template_is_never_changed,
    ]
);

async fn admin(database: &Database, sql: &str) {
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_transaction_left_open_is_named_and_not_waited_for() {
    let database = database().await;
    let law = suite::a_transaction_left_open_is_named_and_not_waited_for::<MySql>;
    law(database.url(), "in a transaction since").await;
}

#[tokio::test]
async fn what_can_not_be_explored_is_refused_with_the_fix() {
    let empty = server::mariadb().database().await;
    let why = suite::setup_error::<MySql>(empty.url()).await;
    assert!(why.contains("idem_runtime::migrate(&pool).await"), "{why}");

    let database = database().await;
    let name = database.name();
    let create = format!("CREATE USER poor_{name}@'%'; GRANT ALL ON {name}.* TO poor_{name}@'%'");
    admin(&database, &create).await;
    let url = database.url().replace("root@", &format!("poor_{name}@"));
    let why = suite::setup_error::<MySql>(&url).await;
    let pattern = format!("{}\\_idem\\_copy\\_%", name.replace('_', "\\_"));
    let grant = format!("GRANT ALL ON `{pattern}`.* TO");
    assert!(why.contains(&grant), "{why}");
    admin(
        &database,
        &format!("{grant} poor_{name}@'%'; GRANT PROCESS ON *.* TO poor_{name}@'%'"),
    )
    .await;
    suite::generated_values_are_matched_and_a_second_effect_is_found::<MySql>(&url).await;

    for (url, fix) in [
        ("mysql://h/x?socket=/var/run/s", "give a host and a port"),
        ("mysql://h/x?ssl-mode=required", "ssl-mode=preferred"),
        ("mysql://127.0.0.1", "names no database"),
    ] {
        let why = suite::setup_error::<MySql>(url).await;
        assert!(why.contains(fix), "{url}: {why}");
    }
}

/// Killed explorations leave databases; those of living ones are in use.
#[tokio::test]
async fn copies_of_the_dead_are_removed_and_those_of_the_living_are_not() {
    let database = database().await;
    let dead = format!("{}_idem_copy_00000000000000aa", database.name());
    admin(&database, &format!("CREATE DATABASE {dead}_3")).await;
    let living = MySql::open_template(database.url()).await.unwrap();
    let another = MySql::open_template(database.url()).await.unwrap();
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?",
    )
    .bind(format!("{dead}_3"))
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    for template in [living, another] {
        let copy = MySql::copy(&template).await.unwrap();
        MySql::discard(&template, copy).await.unwrap();
        MySql::close_template(template).await.unwrap();
    }
}

#[tokio::test]
async fn values_of_every_kind_are_read_exactly_and_survive_a_refill() {
    let database = database().await;
    admin(
        &database,
        r#"CREATE TABLE `odd ``Kinds` (a DOUBLE, b FLOAT, c DECIMAL(9, 3), d VARBINARY(9), e TEXT, f CHAR(4), g BOOLEAN, h JSON,
            i DATETIME(6), j TIME, k UUID, l ENUM('so', 'so so'), n BIGINT UNSIGNED, o BIT(9), p TEXT CHARACTER SET latin1,
            q BIGINT AS (c * 2) STORED);
        INSERT INTO `odd ``Kinds` (a, b, c, d, e, f, g, h, i, j, k, l, n, o, p) VALUES (0.1e0 + 0.2e0, 0.1, 1.5, X'00ff27',
            'a''b\\c\nd', 'ab', TRUE, '{"b":1,  "a":2}', '2026-01-02 03:04:05.678901', '-03:04:05',
            '01890a5d-ac96-774b-bcce-b302099a8057', 'so so', 18446744073709551615, b'100000001', 'é'); INSERT INTO `odd ``Kinds` () VALUES ();"#,
    )
    .await;
    let template = MySql::open_template(database.url()).await.unwrap();
    let copy = MySql::copy(&template).await.unwrap();
    let fresh = MySql::snapshot(&template, &copy).await.unwrap();
    let number = |text: &str| Value::Number(text.into());
    let text = |text: &str| Value::Text(text.into());
    let expected = [
        number("0.30000000000000004"),
        // What a FLOAT holds, not the six digits that the server writes.
        number("0.10000000149011612"),
        number("1.500"),
        Value::Bytes(vec![0, 0xff, b'\'']),
        text("a'b\\c\nd"),
        text("ab"),
        number("1"),
        text(r#"{"b":1,  "a":2}"#),
        text("2026-01-02 03:04:05.678901"),
        text("-03:04:05"),
        text("01890a5d-ac96-774b-bcce-b302099a8057"),
        text("so so"),
        number("18446744073709551615"),
        Value::Bytes(vec![1, 1]),
        text("é"),
        number("3"),
    ];
    let rows = fresh.rows("odd `Kinds");
    assert!(rows[0].iter().all(|value| *value == Value::Null));
    assert_eq!(rows[1], expected);

    let name = copy.name().to_owned();
    suite::run::<MySql>(&template, &copy, "UPDATE `odd ``Kinds` SET e = 'x'").await;
    MySql::discard(&template, copy).await.unwrap();
    let copy = MySql::copy(&template).await.unwrap();
    assert_eq!(copy.name(), name, "not refilled");
    assert!(
        MySql::snapshot(&template, &copy)
            .await
            .unwrap()
            .is_same(&fresh)
    );
    MySql::close_template(template).await.unwrap();
}

/// What fills a copy must not set off its triggers, and views are of the copy that they are in.
#[tokio::test]
async fn views_triggers_routines_and_sequences_are_copied() {
    let database = database().await;
    admin(
        &database,
        "CREATE FUNCTION twice(x BIGINT) RETURNS BIGINT DETERMINISTIC RETURN 2 * x;
        CREATE VIEW a_view AS SELECT id, twice(balance) AS doubled FROM z_view;
        CREATE OR REPLACE VIEW z_view AS SELECT id, balance FROM accounts;
        CREATE OR REPLACE VIEW a_view AS SELECT id, twice(balance) AS doubled FROM z_view;
        INSERT INTO log (text) VALUES ('first');
        CREATE TRIGGER shout BEFORE INSERT ON log FOR EACH ROW BEGIN SET NEW.text = CONCAT(NEW.text, '!'); END;
        CREATE SEQUENCE numbers; DO NEXTVAL(numbers);"
            .replace("CREATE VIEW a_view AS SELECT id, twice(balance) AS doubled FROM z_view;\n", "")
            .as_str(),
    )
    .await;
    let template = MySql::open_template(database.url()).await.unwrap();
    for _ in 0..2 {
        let copy = MySql::copy(&template).await.unwrap();
        let change =
            "INSERT INTO log (text) VALUES ('more'); UPDATE accounts SET balance = 1 WHERE id = 1";
        suite::run::<MySql>(&template, &copy, change).await;
        let mut conn = MySql::connect_options(&template, &copy, None)
            .connect()
            .await
            .unwrap();
        let texts: Vec<String> = sqlx::query_scalar("SELECT text FROM log ORDER BY id")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        assert_eq!(texts, ["first", "more!"]);
        let doubled: Vec<i64> = sqlx::query_scalar("SELECT doubled FROM a_view ORDER BY id")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        assert_eq!(doubled, [2, 400]);
        let next: i64 = sqlx::query_scalar("SELECT NEXTVAL(numbers)")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert!(next > 1, "{next}");
        conn.close().await.unwrap();
        MySql::advance_sequences(&template, &copy).await.unwrap();
        MySql::discard(&template, copy).await.unwrap();
    }
    MySql::close_template(template).await.unwrap();
}
