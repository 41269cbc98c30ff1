use super::*;

/// Each statement's text, with what it does.
fn taken_apart(sql: &str, dialect: Dialect) -> Vec<(&str, Effect)> {
    let statements = statements(sql, dialect);
    let ends = statements.iter().skip(1).map(|next| next.at - 1);
    let ends = ends.chain([sql.len()]);
    statements
        .iter()
        .zip(ends)
        .map(|(statement, end)| (sql[statement.at..end].trim(), statement.effect))
        .collect()
}

mod postgres {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        taken_apart(sql, Dialect::Postgres)
            .into_iter()
            .map(|(text, _)| text)
            .collect()
    }

    #[test]
    fn each_statement_has_its_effect() {
        assert_eq!(
            taken_apart(
                "BEGIN; CALL f('a;b', E'\\';'); SAVEPOINT s; rollback to s; COMMIT AND CHAIN",
                Dialect::Postgres
            ),
            [
                ("BEGIN", Effect::Begin),
                ("CALL f('a;b', E'\\';')", Effect::Work),
                ("SAVEPOINT s", Effect::Setting),
                ("rollback to s", Effect::RollbackTo),
                ("COMMIT AND CHAIN", Effect::Commit),
            ]
        );
    }

    #[test]
    fn every_way_to_begin_and_to_end_is_known() {
        for (sql, effect) in [
            ("begin isolation level serializable", Effect::Begin),
            ("START TRANSACTION READ ONLY", Effect::Begin),
            ("/* why */ -- not\n commit", Effect::Commit),
            ("END", Effect::Commit),
            ("PREPARE TRANSACTION 'x'", Effect::Commit),
            ("ROLLBACK", Effect::Rollback),
            ("ROLLBACK WORK", Effect::Rollback),
            ("ROLLBACK AND CHAIN", Effect::Rollback),
            ("ABORT", Effect::Rollback),
            ("ROLLBACK TO SAVEPOINT x", Effect::RollbackTo),
            ("ROLLBACK WORK TO x", Effect::RollbackTo),
            ("RELEASE SAVEPOINT x", Effect::Setting),
            ("SET LOCAL lock_timeout = 1", Effect::Setting),
            ("PREPARE p AS SELECT 1", Effect::Work),
            ("committed()", Effect::Work),
            ("(SELECT 1)", Effect::Work),
        ] {
            let found: Vec<Effect> = statements(sql, Dialect::Postgres)
                .iter()
                .map(|statement| statement.effect)
                .collect();
            assert_eq!(found, [effect], "{sql}");
        }
    }

    #[test]
    fn no_semicolon_in_a_text_a_name_or_a_comment_ends_a_statement() {
        for one in [
            "SELECT ';', ';'';', \";\"",
            "SELECT E'\\';'",
            "SELECT '\\'",
            "SELECT $$;$$, $a$;$$;$a$",
            "SELECT 1 /* ; /* ; */ ; */",
            "SELECT 1 -- ;",
            "DO $$ BEGIN; END $$",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "SELECT 'never ended; ",
            "SELECT $$ never ended; ",
            "SELECT /* never ended; ",
        ] {
            assert_eq!(texts(one), [one.trim()], "{one}");
        }
    }

    #[test]
    fn what_is_no_quote_hides_nothing() {
        assert_eq!(
            texts("SELECT a$b$; SELECT $1; SELECT '\\'; SELECT tape'\\'; b"),
            [
                "SELECT a$b$",
                "SELECT $1",
                "SELECT '\\'",
                "SELECT tape'\\'",
                "b"
            ]
        );
    }

    #[test]
    fn empty_statements_are_none() {
        assert_eq!(texts(" ; /* ; */ ;; SELECT 1 ;\n-- end").len(), 1);
        assert_eq!(texts(""), [""; 0]);
    }
}

mod mysql {
    use super::*;

    #[test]
    fn each_statement_has_its_effect() {
        assert_eq!(
            taken_apart(
                "SET @a = ';', autocommit = 0; START TRANSACTION; INSERT INTO `a;` VALUES (\"\\\";\", '\\';'); COMMIT",
                Dialect::MySql
            ),
            [
                ("SET @a = ';', autocommit = 0", Effect::Setting),
                ("START TRANSACTION", Effect::Begin),
                ("INSERT INTO `a;` VALUES (\"\\\";\", '\\';')", Effect::Work),
                ("COMMIT", Effect::Commit),
            ]
        );
    }

    #[test]
    fn comments_are_those_of_the_database() {
        let statements = statements(
            "SELECT 5--3; # one; two\nSELECT 1 -- a; b\n; SELECT /* /* ; */ 2; SELECT $$; $$",
            Dialect::MySql,
        );
        assert_eq!(statements.len(), 5);
    }
}

/// No text makes it panic, and what it finds is inside of the text, in order.
#[test]
fn any_text_can_be_taken_apart() {
    let parts = [
        "'", "\"", "`", "$", "$a", "--", "/*", "*/", "#", ";", "\\", "e'", " ", "\n", "x", "é",
        "CREATE", "ROLLBACK",
    ];
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        let mut sql = String::new();
        for _ in 0..seed % 12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sql.push_str(parts[usize::try_from(seed >> 33).unwrap() % parts.len()]);
        }
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            let found = statements(&sql, dialect);
            assert!(found.windows(2).all(|two| two[0].at < two[1].at), "{sql}");
            assert!(
                found.iter().all(|one| sql.is_char_boundary(one.at)),
                "{sql}"
            );
        }
    }
}
