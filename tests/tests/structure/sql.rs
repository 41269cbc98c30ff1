//! String literals that are SQL.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How a statement begins, and what follows in one that is not just a word of a sentence.
const STATEMENTS: [&str; 21] = [
    "ALTER DATABASE ",
    "ALTER TABLE ",
    "BEGIN IMMEDIATE",
    "BEGIN;",
    "COMMIT;",
    "CREATE DATABASE ",
    "CREATE INDEX ",
    "CREATE TABLE ",
    "CREATE TEMP",
    "DELETE FROM ",
    "DROP DATABASE ",
    "DROP TABLE ",
    "INSERT INTO ",
    "LOCK TABLE",
    "PRAGMA ",
    "RELEASE SAVEPOINT ",
    "ROLLBACK TO ",
    "SELECT ",
    "SET TRANSACTION ",
    "START TRANSACTION",
    "UPDATE ",
];

/// Every string literal in `tokens` that begins as a statement does. Docs and tests are left out.
pub(crate) fn statements(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let text = text
                    .trim_start_matches(['r', 'b', 'c', '#', '"'])
                    .trim_start();
                if STATEMENTS.iter().any(|start| text.starts_with(start)) {
                    found.push(text.to_owned());
                }
            }
            TokenTree::Group(group) => {
                let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].to_string());
                let attribute = group.delimiter() == Delimiter::Bracket
                    && matches!(before(1).as_deref(), Some("#" | "!"));
                let tests = before(1).as_deref() == Some("tests");
                if !attribute && !tests {
                    found.extend(statements(group.stream()));
                }
            }
            _ => {}
        }
    }
    found
}
