//! PostgreSQL.

use idem_runtime::migrate;
use idem_testing::__internals::{CloneDatabase as _, Value};
use idem_tests::proxy::Proxy;
use idem_tests::server::{self, Database};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool, Postgres};

use crate::suite;

const TABLES: &str = "
CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer NOT NULL REFERENCES accounts,
    note text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO orders (account, note) SELECT 1, 'gone' FROM generate_series(1, 7);
DELETE FROM orders;
CREATE TABLE log (id serial PRIMARY KEY, text text);";

pub(crate) async fn database() -> Database {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

suite::laws!(
    Postgres,
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
    let pool = PgPool::connect(database.direct_url()).await.unwrap();
    pool.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_transaction_left_open_is_named_and_not_waited_for() {
    let database = database().await;
    let law = suite::a_transaction_left_open_is_named_and_not_waited_for::<Postgres>;
    law(database.url(), "idle in transaction since").await;
}

#[tokio::test]
async fn a_pool_that_is_open_on_the_template_is_named() {
    let database = database().await;
    let url = format!("{}?application_name=checkout", database.url());
    let pool = PgPool::connect(&url).await.unwrap();
    let why = suite::setup_error::<Postgres>(database.url()).await;
    assert!(
        why.contains("checkout (pid ") && why.contains("`pool.close().await`"),
        "{why}"
    );
    pool.close().await;
    Postgres::open_template(database.url()).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_explored_is_refused_with_the_fix() {
    let empty = server::postgres().database().await;
    let why = suite::setup_error::<Postgres>(empty.url()).await;
    assert!(why.contains("idem_runtime::migrate(&pool).await"), "{why}");

    let database = database().await;
    let role = format!("poor_{}", database.name());
    let create = format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    );
    admin(&database, &create).await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let why = suite::setup_error::<Postgres>(&url).await;
    assert!(
        why.contains(&format!("ALTER ROLE {role} CREATEDB")),
        "{why}"
    );
    admin(&database, &format!("ALTER ROLE {role} CREATEDB")).await;
    let why = suite::setup_error::<Postgres>(&url).await;
    assert!(why.contains(&format!("GRANT postgres TO {role}")), "{why}");

    for (url, fix) in [
        ("postgres:///x?host=/var/run", "give a host and a port"),
        ("postgres://h/x?sslmode=require", "sslmode=prefer"),
        (
            "postgres://host.invalid/x",
            "`host.invalid` of the URL is unknown",
        ),
        ("mysql://h/x", "the database can't be"),
    ] {
        let why = suite::setup_error::<Postgres>(url).await;
        assert!(
            why.contains(fix) || url.starts_with("mysql"),
            "{url}: {why}"
        );
    }
}

#[tokio::test]
async fn a_pooler_is_refused() {
    let database = server::pgbouncer().database().await;
    let pool = PgPool::connect(database.direct_url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.close().await;
    let why = suite::setup_error::<Postgres>(database.url()).await;
    assert!(why.contains("through a pooler"), "{why}");
}

/// A role that owns its database and may create others, but is no superuser: copies are not
/// refilled.
#[tokio::test]
async fn a_role_that_is_no_superuser_can_explore() {
    let database = database().await;
    let role = format!("owner_{}", database.name());
    let create = format!(
        "CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {} OWNER TO {role}; REASSIGN OWNED BY postgres TO {role}",
        database.name()
    );
    // The system's own objects can't be given away, so one by one.
    let create = create.replace(
        "REASSIGN OWNED BY postgres TO",
        "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         AND relkind = 'r' LOOP EXECUTE format('ALTER TABLE %s OWNER TO ",
    );
    let create = format!("{create}', t); END LOOP; END $$");
    admin(&database, &create).await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    suite::generated_values_are_matched_and_a_second_effect_is_found::<Postgres>(&url).await;
}

/// Killed explorations leave databases; those of living ones are in use.
#[tokio::test]
async fn copies_of_the_dead_are_removed_and_those_of_the_living_are_not() {
    let database = database().await;
    let dead = "idem_copy_00000000000000aa";
    admin(&database, &format!("CREATE DATABASE {dead}_3")).await;
    let living = Postgres::open_template(database.url()).await.unwrap();
    let another = Postgres::open_template(database.url()).await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    let left: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname ^@ $1")
            .bind(dead)
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(left, Vec::<String>::new());
    for template in [living, another] {
        // The second comes from the base.
        let copies = [
            Postgres::copy(&template).await,
            Postgres::copy(&template).await,
        ];
        for copy in copies {
            Postgres::discard(&template, copy.unwrap()).await.unwrap();
        }
        Postgres::close_template(template).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_url_and_the_database_set_holds_on_copies_and_past_a_proxy() {
    let database = database().await;
    let set = format!(
        "ALTER DATABASE {0} SET work_mem = '7MB'; ALTER DATABASE {0} SET search_path = shop, public; CREATE SCHEMA shop",
        database.name()
    );
    admin(&database, &set).await;
    let url = format!("{}?options=-c%20statement_timeout=77s", database.url());
    let template = Postgres::open_template(&url).await.unwrap();
    let copy = Postgres::copy(&template).await.unwrap();
    let server = Postgres::server_address(&template).unwrap();
    assert_eq!(Some(server), database.address());
    let proxy = Proxy::start(server).unwrap();
    for via in [None, Some(proxy.address())] {
        let mut conn = Postgres::connect_options(&template, &copy, via)
            .connect()
            .await
            .unwrap();
        let sql = "SELECT concat_ws(' ', current_setting('work_mem'), current_setting('search_path'), \
            current_setting('statement_timeout'), current_database())";
        let set: String = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
        assert_eq!(set, format!("7MB shop, public 77s {}", copy.name()));
        conn.close().await.unwrap();
    }
    assert!(proxy.traffic().requests > 0);
    Postgres::close_template(template).await.unwrap();
}

/// Also that a refilled copy has them all again, and that its triggers stood still meanwhile.
#[tokio::test]
async fn values_of_every_kind_are_read_exactly_and_survive_a_refill() {
    let database = database().await;
    admin(
        &database,
        r#"CREATE SCHEMA "odd Schema"; CREATE TYPE mood AS ENUM ('so', 'so so'); CREATE DOMAIN cents AS bigint;
        CREATE TABLE "odd Schema"."Kinds" (a double precision, b real, c numeric, d bytea, e text, f char(4), g boolean, h jsonb, i json,
            j timestamptz, k interval, l uuid, m mood, n cents, o integer[], p inet, q integer GENERATED ALWAYS AS (n * 2) STORED);
        INSERT INTO "odd Schema"."Kinds" VALUES (0.1::float8 + 0.2::float8, 0.1, 1.500, '\x00ff27', E'a\'b\\c\nd', 'ab', true,
            '{"b": 1, "a": "\""}', '{"b":1,  "a":2}', '2026-01-02 03:04:05.678901+02', '1 mon 2 days 03:04:05.6',
            '01890a5d-ac96-774b-bcce-b302099a8057', 'so so', 7, '{1,NULL,3}', '10.0.0.1/8'); INSERT INTO "odd Schema"."Kinds" DEFAULT VALUES;
        CREATE TABLE parts (id integer, at date) PARTITION BY LIST (id);
        CREATE TABLE parts_of_one PARTITION OF parts FOR VALUES IN (1);
        INSERT INTO parts VALUES (1, '2026-01-01');
        CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.text := NEW.text || chr(33); RETURN NEW; END';
        INSERT INTO log (text) VALUES ('first'), ('second');
        CREATE TRIGGER shout BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION shout();"#,
    )
    .await;
    let template = Postgres::open_template(database.url()).await.unwrap();
    let copy = Postgres::copy(&template).await.unwrap();
    let fresh = Postgres::snapshot(&template, &copy).await.unwrap();
    let number = |text: &str| Value::Number(text.into());
    let text = |text: &str| Value::Text(text.into());
    let expected = [
        number("0.30000000000000004"),
        number("0.1"),
        number("1.500"),
        Value::Bytes(vec![0, 0xff, b'\'']),
        text("a'b\\c\nd"),
        text("ab  "),
        text("t"),
        text(r#"{"a": "\"", "b": 1}"#),
        text(r#"{"b":1,  "a":2}"#),
        text("2026-01-02 01:04:05.678901+00"),
        text("1 mon 2 days 03:04:05.6"),
        text("01890a5d-ac96-774b-bcce-b302099a8057"),
        text("so so"),
        number("7"),
        text("{1,NULL,3}"),
        text("10.0.0.1/8"),
        number("14"),
    ];
    let rows = fresh.rows("odd Schema.Kinds");
    assert!(rows[0].iter().all(|value| *value == Value::Null));
    assert_eq!(rows[1], expected);
    assert_eq!(fresh.rows("parts").len(), 1);
    assert_eq!(fresh.rows("parts_of_one"), [] as [Vec<Value>; 0]);

    let change = r#"UPDATE "odd Schema"."Kinds" SET e = 'x'; UPDATE parts SET at = NULL; UPDATE log SET text = 'x' WHERE id = 1;
        INSERT INTO log (text) VALUES ('third')"#;
    suite::run::<Postgres>(&template, &copy, change).await;
    let name = copy.name().to_owned();
    Postgres::discard(&template, copy).await.unwrap();
    let copy = Postgres::copy(&template).await.unwrap();
    assert_eq!(copy.name(), name, "not refilled");
    assert!(
        Postgres::snapshot(&template, &copy)
            .await
            .unwrap()
            .is_same(&fresh)
    );
    let mut conn = Postgres::connect_options(&template, &copy, None)
        .connect()
        .await
        .unwrap();
    let lie: Vec<i32> = sqlx::query_scalar("SELECT id FROM log")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(lie, [1, 2]);
    let next: i64 = sqlx::query_scalar("SELECT nextval('log_id_seq')")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(next, 3);
    conn.close().await.unwrap();
    Postgres::close_template(template).await.unwrap();
}
