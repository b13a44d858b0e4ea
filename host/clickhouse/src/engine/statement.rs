//! Where a statement's `FORMAT` clause and data are.
//!
//! The engine takes an insert's text, format and data apart from each other, and
//! writes a result into a pipe only when the text says `INTO OUTFILE`. So the
//! text is cut here, by ClickHouse's lexical rules; parsing stays the engine's.

/// What the beginning of a request's text says about an insert.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The text does not tell yet: it may go on in the body.
    Undecided,
    /// A statement without data after it; the whole text belongs to it.
    Statement,
    /// `INSERT` followed by data.
    Insert {
        /// Where the text ends before the `FORMAT` clause or `VALUES`.
        sql: usize,
        /// The format of the data.
        format: String,
        /// Where the data begins in the text.
        data: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Word,
    Quoted,
    Open,
    Close,
    Semicolon,
    Other,
}

struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn starts(&self, prefix: &[u8]) -> bool {
        self.text[self.at..].starts_with(prefix)
    }

    fn skip_past(&mut self, end: &[u8]) {
        let rest = &self.text[self.at..];
        self.at += rest
            .windows(end.len())
            .position(|window| window == end)
            .map_or(rest.len(), |at| at + end.len());
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            if byte.is_ascii_whitespace() || *byte == 0x0b {
                self.at += 1;
            } else if self.starts(b"--") || self.starts(b"# ") || self.starts(b"#!") {
                self.skip_past(b"\n");
            } else if self.starts(b"/*") {
                self.at += 2;
                self.skip_past(b"*/");
            } else {
                break;
            }
        }
    }

    /// Moves past a quoted text; a backslash and a doubled quote escape.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at = (self.at + 1).min(self.text.len());
            } else if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Iterator for Tokens<'_> {
    type Item = (Token, std::ops::Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blank();
        let start = self.at;
        let first = *self.text.get(start)?;
        let token = match first {
            b'\'' | b'"' | b'`' => {
                self.skip_quoted(first);
                Token::Quoted
            }
            b'$' => {
                // A here document: $tag$ ... $tag$.
                let tag = self.text[start + 1..]
                    .iter()
                    .position(|&b| !is_word(b))
                    .map(|length| &self.text[start..start + length + 2])
                    .filter(|tag| tag.ends_with(b"$"));
                match tag {
                    Some(tag) => {
                        self.at += tag.len();
                        self.skip_past(tag);
                        Token::Quoted
                    }
                    None => {
                        self.at += 1;
                        Token::Other
                    }
                }
            }
            _ if is_word(first) => {
                let rest = &self.text[start..];
                self.at += rest.iter().position(|&b| !is_word(b)).unwrap_or(rest.len());
                Token::Word
            }
            _ => {
                self.at += 1;
                match first {
                    b'(' | b'[' | b'{' => Token::Open,
                    b')' | b']' | b'}' => Token::Close,
                    b';' => Token::Semicolon,
                    _ => Token::Other,
                }
            }
        };
        Some((token, start..self.at))
    }
}

/// Finds out whether `text` begins an insert with data, and where the data is.
///
/// `complete` says that nothing follows `text`.
pub(super) fn head(text: &[u8], complete: bool) -> Head {
    let undecided = if complete {
        Head::Statement
    } else {
        Head::Undecided
    };
    let is = |range: &std::ops::Range<usize>, word: &str| {
        text[range.clone()].eq_ignore_ascii_case(word.as_bytes())
    };
    // A token that touches the end may be the beginning of a longer one.
    let mut tokens = Tokens::new(text)
        .take_while(|(_, range)| complete || range.end < text.len())
        .peekable();
    match tokens.next() {
        Some((Token::Word, range)) if is(&range, "insert") => {}
        Some(_) => return Head::Statement,
        None => return undecided,
    }
    // INTO [TABLE] [FUNCTION] name[.name]: the name may be a keyword of ours.
    while let Some((token, range)) = tokens.next() {
        let introduces = token == Token::Word
            && ["into", "table", "function"]
                .iter()
                .any(|word| is(&range, word));
        let dotted = |next: Option<&(Token, std::ops::Range<usize>)>| {
            next.is_some_and(|(_, range)| text[range.clone()] == *b".")
        };
        if !introduces || dotted(tokens.peek()) {
            while dotted(tokens.peek()) {
                tokens.next();
                tokens.next();
            }
            break;
        }
    }
    let mut depth = 0_usize;
    while let Some((token, range)) = tokens.next() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Word if depth == 0 => {
                if is(&range, "values") {
                    return Head::Insert {
                        sql: range.start,
                        format: "Values".to_owned(),
                        data: range.end,
                    };
                }
                if is(&range, "format") {
                    let Some((Token::Word, name)) = tokens.next() else {
                        return undecided;
                    };
                    let Some(data) = data_start(text, name.end, complete) else {
                        return undecided;
                    };
                    return Head::Insert {
                        sql: range.start,
                        format: String::from_utf8_lossy(&text[name]).into_owned(),
                        data,
                    };
                }
                if ["select", "with", "from", "explain", "watch"]
                    .iter()
                    .any(|word| is(&range, word))
                {
                    return Head::Statement;
                }
            }
            _ => {}
        }
    }
    undecided
}

/// The data begins after the format's name, blanks, and one line feed if there
/// is one.
fn data_start(text: &[u8], name_end: usize, complete: bool) -> Option<usize> {
    let mut at = name_end;
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c | b'\r')) {
        at += 1;
    }
    match text.get(at) {
        Some(b'\n') => Some(at + 1),
        Some(_) => Some(at),
        None => complete.then_some(at),
    }
}

/// Whether a statement surely changes nothing, so that it may be asked twice. In
/// doubt it may not: a column called `insert` is enough.
pub(crate) fn only_reads(sql: &str) -> bool {
    let mut first = true;
    for (token, range) in Tokens::new(sql.as_bytes()) {
        let word = &sql.as_bytes()[range];
        let is_any = |words: &[&str]| {
            words
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
        };
        if std::mem::take(&mut first)
            && !is_any(&[
                "select", "with", "from", "(", "show", "describe", "desc", "exists", "explain",
            ])
        {
            return false;
        }
        if token == Token::Word && is_any(&["insert"]) {
            return false;
        }
    }
    !first
}

/// A statement with its output clauses taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output<'a> {
    /// The statement up to its `FORMAT` clause, without a final semicolon.
    pub(super) statement: &'a str,
    /// The format, when the statement names one.
    pub(super) format: Option<&'a str>,
    /// `SETTINGS …` behind the format, or empty.
    pub(super) settings: &'a str,
    /// The statement says `INTO OUTFILE`.
    pub(super) into_outfile: bool,
    /// The statement begins as a query does: `SELECT`, `WITH`, `FROM` or `(`.
    pub(super) is_select: bool,
}

/// Takes the output clauses of one statement apart.
pub(super) fn output(sql: &str) -> Output<'_> {
    let bytes = sql.as_bytes();
    let is = |range: &std::ops::Range<usize>, word: &str| {
        bytes[range.clone()].eq_ignore_ascii_case(word.as_bytes())
    };
    let mut end = 0;
    let mut depth = 0_usize;
    let mut into_outfile = false;
    // Every word outside parentheses with its token number, so that a clause can
    // be told from a column of its name by what follows it.
    let mut words: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    let mut count = 0;
    let mut is_select = false;
    for (token, range) in Tokens::new(bytes) {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Semicolon if depth == 0 => continue,
            _ => {}
        }
        if count == 0 {
            is_select = ["select", "with", "from", "("]
                .iter()
                .any(|word| is(&range, word));
        }
        end = range.end;
        if token == Token::Word && depth == 0 {
            if is(&range, "outfile")
                && words
                    .last()
                    .is_some_and(|(number, last)| number + 1 == count && is(last, "into"))
            {
                into_outfile = true;
            }
            words.push((count, range));
        }
        count += 1;
    }
    let mut found = Output {
        statement: &sql[..end],
        format: None,
        settings: "",
        into_outfile,
        is_select,
    };
    for pair in words.windows(2).rev() {
        let [(number, format), (next, name)] = pair else {
            continue;
        };
        if !is(format, "format") || number + 1 != *next {
            continue;
        }
        let rest = &sql[name.end..end];
        let after = Tokens::new(rest.as_bytes()).next();
        let follows_settings = after
            .as_ref()
            .is_some_and(|(_, range)| rest[range.clone()].eq_ignore_ascii_case("settings"));
        if after.is_none() || follows_settings {
            found.statement = &sql[..format.start];
            found.format = Some(&sql[name.clone()]);
            found.settings = rest.trim();
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(sql: &str, format: &str, data: usize) -> Head {
        Head::Insert {
            sql: sql.len(),
            format: format.to_owned(),
            data,
        }
    }

    #[test]
    fn only_what_surely_reads_may_be_asked_twice() {
        for reads in [
            "SELECT 1",
            "-- INSERT\n select 'INSERT INTO t'",
            "WITH 1 AS a SELECT a",
            "(SELECT 1) UNION ALL SELECT 2",
            "show tables",
        ] {
            assert!(only_reads(reads), "{reads}");
        }
        for writes in [
            "",
            "INSERT INTO t SELECT * FROM t",
            "WITH 1 AS a INSERT INTO t SELECT a",
            "ALTER TABLE t ADD COLUMN a UInt8",
            "DROP TABLE t",
        ] {
            assert!(!only_reads(writes), "{writes}");
        }
    }

    #[test]
    fn an_insert_is_cut_at_its_format_or_values() {
        for (text, sql, format, data) in [
            (
                "INSERT INTO t FORMAT CSV\n1,2\n",
                "INSERT INTO t ",
                "CSV",
                "1,2\n",
            ),
            (
                "insert into t(a, b) format TSV  \r\n\n1",
                "insert into t(a, b) ",
                "TSV",
                "\n1",
            ),
            (
                "INSERT INTO t VALUES (1), (2)",
                "INSERT INTO t ",
                "Values",
                " (1), (2)",
            ),
            (
                "INSERT INTO db.`format` FORMAT JSONEachRow {}",
                "INSERT INTO db.`format` ",
                "JSONEachRow",
                "{}",
            ),
            (
                "INSERT INTO format VALUES(1)",
                "INSERT INTO format ",
                "Values",
                "(1)",
            ),
            (
                "INSERT INTO db.values VALUES(1)",
                "INSERT INTO db.values ",
                "Values",
                "(1)",
            ),
            (
                "INSERT INTO table.x VALUES(1)",
                "INSERT INTO table.x ",
                "Values",
                "(1)",
            ),
            (
                "/* VALUES */ INSERT -- FORMAT x\nINTO TABLE FUNCTION null('a Int8 FORMAT') SETTINGS x='VALUES' FORMAT Native\nX",
                "/* VALUES */ INSERT -- FORMAT x\nINTO TABLE FUNCTION null('a Int8 FORMAT') SETTINGS x='VALUES' ",
                "Native",
                "X",
            ),
        ] {
            assert_eq!(
                head(text.as_bytes(), true),
                insert(sql, format, text.len() - data.len()),
                "{text}"
            );
        }
    }

    #[test]
    fn other_statements_keep_their_text() {
        for text in [
            "SELECT 1 FORMAT CSV",
            "INSERT INTO t SELECT * FROM x FORMAT CSV",
            "INSERT INTO t (a) WITH 1 AS x SELECT x",
            "INSERT INTO t (SELECT 1)",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "  ",
        ] {
            assert_eq!(head(text.as_bytes(), true), Head::Statement, "{text}");
        }
    }

    #[test]
    fn a_text_cut_anywhere_is_undecided_or_right() {
        let text = b"INSERT INTO t (a) FORMAT RowBinary\nVALUES";
        let whole = insert("INSERT INTO t (a) ", "RowBinary", 35);
        for length in 0..text.len() {
            let head = head(&text[..length], false);
            assert!(
                head == Head::Undecided || head == whole,
                "{length}: {head:?}"
            );
        }
        assert_eq!(head(&text[..35], false), whole);
    }

    #[test]
    fn output_clauses_come_off_a_query() {
        let parts = |sql| {
            let found = output(sql);
            (
                found.statement.trim_end().to_owned(),
                found.format,
                found.settings,
            )
        };
        for (sql, statement, format, settings) in [
            ("SELECT 1", "SELECT 1", None, ""),
            ("SELECT 1;  ", "SELECT 1", None, ""),
            (
                "SELECT 1 FORMAT JSON ; -- done",
                "SELECT 1",
                Some("JSON"),
                "",
            ),
            (
                "SELECT 1 format JSON settings a = 1",
                "SELECT 1",
                Some("JSON"),
                "settings a = 1",
            ),
            (
                "SELECT 1 SETTINGS a = 1 FORMAT JSON",
                "SELECT 1 SETTINGS a = 1",
                Some("JSON"),
                "",
            ),
            ("SELECT format FROM t", "SELECT format FROM t", None, ""),
            ("SELECT 1 AS format", "SELECT 1 AS format", None, ""),
            (
                "SELECT (SELECT 1 FORMAT x)",
                "SELECT (SELECT 1 FORMAT x)",
                None,
                "",
            ),
            ("SELECT ' FORMAT x'", "SELECT ' FORMAT x'", None, ""),
        ] {
            assert_eq!(
                parts(sql),
                (statement.to_owned(), format, settings),
                "{sql}"
            );
        }
        assert!(output("SELECT 1 INTO OUTFILE 'x'").into_outfile);
        assert!(!output("SELECT ' INTO OUTFILE '").into_outfile);
        assert!(output("/**/ (SELECT 1)").is_select);
        assert!(!output("SHOW TABLES").is_select);
    }
}
