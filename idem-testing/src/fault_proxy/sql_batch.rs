//! Splits a batch of SQL into statements, and sees what each does to the transaction.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "the rules of a database that is off")
)]

/// Whose lexical rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MySql,
}

/// A statement, with the byte at which it begins: right after the semicolon of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) at: usize,
    pub(crate) effect: Effect,
}

/// What a statement does to the transaction that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Begin,
    Commit,
    Rollback,
    /// To a savepoint: the transaction goes on.
    RollbackTo,
    /// None, and it takes no lock: settings and savepoints.
    Setting,
    /// It reads or writes, and takes locks.
    Work,
}

/// The statements of a batch, without the empty ones.
pub(crate) fn statements(sql: &str, dialect: Dialect) -> Vec<Statement> {
    let lexer = Lexer {
        sql: sql.as_bytes(),
        dialect,
    };
    let mut statements = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let words = lexer.words(at);
        let effect = effect(&words);
        if !words.is_empty() || lexer.blank(at) < lexer.end(at) {
            statements.push(Statement { at, effect });
        }
        // The body of a routine has semicolons of its own.
        if words.first().is_some_and(|word| word == "CREATE") {
            break;
        }
        at = lexer.end(at) + 1;
    }
    statements
}

fn effect(words: &[String]) -> Effect {
    let mut words = words.iter().map(String::as_str);
    match (words.next().unwrap_or(""), words.next().unwrap_or("")) {
        ("BEGIN", _) | ("START", "TRANSACTION") => Effect::Begin,
        ("COMMIT" | "END", _) | ("PREPARE", "TRANSACTION") => Effect::Commit,
        ("ROLLBACK", "TO") => Effect::RollbackTo,
        ("ROLLBACK", _) if words.next() == Some("TO") => Effect::RollbackTo,
        ("ROLLBACK" | "ABORT", _) => Effect::Rollback,
        (
            "SAVEPOINT" | "RELEASE" | "SET" | "RESET" | "SHOW" | "USE" | "DISCARD" | "DEALLOCATE",
            _,
        ) => Effect::Setting,
        _ => Effect::Work,
    }
}

struct Lexer<'a> {
    sql: &'a [u8],
    dialect: Dialect,
}

impl Lexer<'_> {
    /// The first three words of the statement that begins here, in capitals.
    fn words(&self, at: usize) -> Vec<String> {
        let mut words = Vec::new();
        let mut at = at;
        while words.len() < 3 {
            at = self.blank(at);
            let letters = self.rest(at).iter();
            let length = letters.take_while(|byte| is_word(**byte)).count();
            if length == 0 {
                break;
            }
            let word = String::from_utf8_lossy(&self.sql[at..at + length]);
            words.push(word.to_ascii_uppercase());
            at += length;
        }
        words
    }

    /// The semicolon that ends the statement, or the end of the text.
    fn end(&self, at: usize) -> usize {
        let mut at = at;
        while at < self.sql.len() && self.sql[at] != b';' {
            at = self.skip(at);
        }
        at.min(self.sql.len())
    }

    /// Past white space and comments.
    fn blank(&self, at: usize) -> usize {
        let mut at = at;
        while let Some(byte) = self.sql.get(at) {
            if byte.is_ascii_whitespace() {
                at += 1;
            } else if let Some(end) = self.comment(at) {
                at = end;
            } else {
                break;
            }
        }
        at.min(self.sql.len())
    }

    /// Past what stands here as one: a quoted text, a comment, or one byte.
    fn skip(&self, at: usize) -> usize {
        if let Some(end) = self.comment(at) {
            return end;
        }
        match self.sql[at] {
            quote @ (b'\'' | b'"' | b'`') => self.quoted(at, quote),
            b'$' => self.dollar_quoted(at).unwrap_or(at + 1),
            _ => at + 1,
        }
    }

    fn comment(&self, at: usize) -> Option<usize> {
        match (self.rest(at), self.dialect) {
            // There, `5--3` is a sum.
            ([b'-', b'-', next, ..], Dialect::MySql) if !next.is_ascii_whitespace() => None,
            ([b'-', b'-', ..], _) | ([b'#', ..], Dialect::MySql) => Some(self.line(at)),
            ([b'/', b'*', ..], _) => Some(self.block(at)),
            _ => None,
        }
    }

    fn line(&self, at: usize) -> usize {
        let length = self.rest(at).iter().position(|byte| *byte == b'\n');
        length.map_or(self.sql.len(), |length| at + length + 1)
    }

    fn block(&self, at: usize) -> usize {
        let mut depth = 0;
        let mut at = at;
        while at < self.sql.len() {
            match self.rest(at) {
                [b'/', b'*', ..] if depth == 0 || self.nests() => {
                    depth += 1;
                    at += 2;
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return at;
                    }
                }
                _ => at += 1,
            }
        }
        self.sql.len()
    }

    /// A doubled quote ends one text and begins another, which comes to the same.
    fn quoted(&self, at: usize, quote: u8) -> usize {
        let escapes = self.escapes(at, quote);
        let mut at = at + 1;
        while let Some(byte) = self.sql.get(at) {
            at += 1;
            if *byte == quote {
                return at;
            }
            if escapes && *byte == b'\\' {
                at += 1;
            }
        }
        self.sql.len()
    }

    /// Whether a backslash takes the meaning from what follows it.
    fn escapes(&self, at: usize, quote: u8) -> bool {
        match self.dialect {
            Dialect::Postgres => {
                quote == b'\''
                    && matches!(self.sql[..at], [.., b'e' | b'E'])
                    && !matches!(self.sql[..at], [.., before, _] if is_word(before))
            }
            Dialect::MySql => quote != b'`',
        }
    }

    fn nests(&self) -> bool {
        match self.dialect {
            Dialect::Postgres => true,
            Dialect::MySql => false,
        }
    }

    /// `$tag$ ... $tag$`, on PostgreSQL alone.
    fn dollar_quoted(&self, at: usize) -> Option<usize> {
        if !self.nests() || matches!(self.sql[..at], [.., before] if is_word(before)) {
            return None;
        }
        let length = self.rest(at + 1).iter().position(|byte| !is_word(*byte))?;
        let tag = &self.rest(at)[..length + 2];
        if !tag.ends_with(b"$") || tag[1].is_ascii_digit() {
            return None;
        }
        let body = at + tag.len();
        let found = self
            .rest(body)
            .windows(tag.len())
            .position(|text| text == tag);
        Some(found.map_or(self.sql.len(), |length| body + length + tag.len()))
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.sql.get(at..).unwrap_or_default()
    }
}

/// Whether the byte can be in a name; those beyond ASCII can.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests;
