//! One statement, parsed and judged before anything is planned.
//!
//! ```text
//! text ─▶ 64 KiB? ─▶ tokens ≤ 20 000? ─▶ parse (nesting ≤ 50) ─▶ one query? ─▶ shape (see `shape`) ─▶ Checked
//! ```
//! Planning is one synchronous call that nothing can stop but the process's death, so what would make it
//! long or deep is refused here. The text is never judged by its words, only by what it parses to.
//! Call these functions on a deep stack: a long chain of operators is a deep tree until it is refused.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement, Visit};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use worker::Refusal;

use super::plan::Resolved;
use super::refuse::{self, too_complex};
use super::shape::Shape;

const TEXT_BYTES: usize = 64 << 10;
const TOKENS: usize = 20_000;
const NESTING: usize = 50;

/// A read-only query within all caps.
pub(super) struct Checked {
    pub statement: Statement,
    pub resolved: Resolved,
}

impl Checked {
    /// How many tables remain once every CTE and view is written out. `weight` tells it of a name.
    /// Errors: `query-too-complex`.
    pub(super) fn weigh(&self, weight: &dyn Fn(&str) -> u64) -> Result<u64, Refusal> {
        shape(&self.statement, weight).map(|shape| shape.weight)
    }
}

/// Parses and judges `sql`. Errors: `query-too-complex`, `invalid-sql`, `sql-not-read-only`.
pub(super) fn check(sql: &str) -> Result<Checked, Refusal> {
    let tokens = tokens(sql)?;
    let statement = one_query(parse(tokens)?)?;
    let shape = shape(&statement, &|_| 1)?;
    let tables = tables(&statement)?;
    let resolved = Resolved { tables, params: shape.params, volatile: shape.volatile };
    Ok(Checked { statement, resolved })
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, Refusal> {
    if sql.len() > TEXT_BYTES {
        return Err(too_complex(format!("the text is longer than {TEXT_BYTES} bytes")));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| refuse::unreadable(&error.to_string()))?;
    let meaningful = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    match meaningful > TOKENS {
        true => Err(too_complex(format!("the text has more than {TOKENS} words and signs"))),
        false => Ok(tokens),
    }
}

fn parse(tokens: Vec<TokenWithSpan>) -> Result<Vec<Statement>, Refusal> {
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(NESTING);
    parser.with_tokens_with_locations(tokens).parse_statements().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => {
            too_complex(format!("it nests more than {NESTING} levels deep"))
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => refuse::unreadable(&text),
    })
}

/// The only statement, if it reads and does nothing else.
fn one_query(mut statements: Vec<Statement>) -> Result<Statement, Refusal> {
    if statements.iter().any(|statement| !matches!(statement, Statement::Query(_))) {
        return Err(refuse::not_read_only());
    }
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(Refusal::new("invalid-sql", "there is no statement")),
        (Some(_), false) => Err(refuse::not_read_only()),
    }
}

fn shape(statement: &Statement, weight: &dyn Fn(&str) -> u64) -> Result<Shape, Refusal> {
    let mut walk = super::shape::Walk::new(weight);
    match statement.visit(&mut walk) {
        ControlFlow::Break(refusal) => Err(*refusal),
        ControlFlow::Continue(()) => walk.end(),
    }
}

/// Whether this part of a query would write.
pub(super) fn writes(query: &Query) -> bool {
    !query.locks.is_empty()
        || matches!(
            query.body.as_ref(),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        )
}

fn tables(statement: &Statement) -> Result<Vec<String>, Refusal> {
    let statement = DfStatement::Statement(Box::new(statement.clone()));
    let (tables, _) =
        resolve_table_references(&statement, true).map_err(|error| refuse::from_engine(&error))?;
    let names: BTreeSet<String> = tables.iter().map(name).collect();
    Ok(names.into_iter().collect())
}

/// `schema.table`. A part that has a dot of its own is quoted, so that it cannot pass for two parts.
pub(super) fn name(table: &TableReference) -> String {
    let parts = [table.catalog(), table.schema(), Some(table.table())];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    match parts.iter().any(|part| part.contains(['.', '"'])) {
        true => table.to_quoted_string(),
        false => parts.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the stack that production uses.
    fn judge(sql: impl Into<String>) -> Result<Resolved, String> {
        let sql = sql.into();
        let judged = move || check(&sql).map(|checked| checked.resolved).map_err(|refusal| refusal.code);
        std::thread::Builder::new()
            .stack_size(super::super::deep::STACK_BYTES)
            .spawn(judged)
            .unwrap()
            .join()
            .unwrap()
    }

    fn tables(sql: &str) -> Vec<String> {
        judge(sql).unwrap().tables
    }

    #[test]
    fn names_are_those_of_tables_not_of_ctes() {
        assert_eq!(
            tables("select * from my.sales s join Weather.Daily d using (region_id)"),
            ["my.sales", "weather.daily"]
        );
        assert_eq!(tables("with a as (select * from my.x) select * from a"), ["my.x"]);
        assert_eq!(
            tables("select 1 where exists (select 1 from my.y where z in (select 1 from my.z))"),
            ["my.y", "my.z"]
        );
        assert_eq!(tables("select 1"), Vec::<String>::new());
    }

    #[test]
    fn a_dot_inside_a_name_does_not_make_two() {
        assert_eq!(tables(r#"select * from "my.sales""#), [r#""my.sales""#]);
        assert_eq!(tables(r#"select * from a."b.c""#), [r#"a."b.c""#]);
        assert_eq!(tables("select * from a.b.c"), ["a.b.c"]);
    }

    #[test]
    fn parameters_and_volatile_functions_are_seen() {
        let seen = judge("select $2, now() from my.x where a = $1").unwrap();
        assert_eq!((seen.params, seen.volatile), (2, true));
        assert!(judge("select current_date").unwrap().volatile);
        assert!(!judge("select abs(1)").unwrap().volatile);
    }

    #[test]
    fn whatever_is_not_a_query_is_refused() {
        for sql in [
            "drop table x",
            "insert into my.x values (1)",
            "update my.x set a = 1",
            "delete from my.x",
            "create table t as select 1",
            "create view v as select 1",
            "copy my.x to '/tmp/x'",
            "set a = 1",
            "set time zone 'UTC'",
            "show tables",
            "explain select 1",
            "prepare p as select 1",
            "execute p",
            "deallocate p",
            "select 1 into t",
            "select 1; drop table x",
            "begin",
            "commit",
            "analyze table x",
            "truncate table x",
            "with t as (insert into my.x values (1) returning a) select * from t",
            "reset a",
            "use x",
            "call f()",
            "describe my.x",
            "select * from my.x for update",
            "with t as (select 1 into x) select * from t",
            "select * from (select 1 into x) y",
            "vacuum",
            "attach database 'x' as y",
            "grant all on x to y",
        ] {
            let refused = judge(sql).unwrap_err();
            assert!(["sql-not-read-only", "invalid-sql"].contains(&refused.as_str()), "{sql}: {refused}");
        }
        assert_eq!(judge("select 1 into t").unwrap_err(), "sql-not-read-only");
        assert_eq!(judge("drop table t").unwrap_err(), "sql-not-read-only");
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        assert_eq!(judge("").unwrap_err(), "invalid-sql");
        assert_eq!(judge("select 1; select 2").unwrap_err(), "sql-not-read-only");
        assert_eq!(judge("selekt 1").unwrap_err(), "invalid-sql");
        assert_eq!(judge(format!("select '{}'", "x".repeat(65_536))).unwrap_err(), "query-too-complex");
        assert!(judge("select 1;").is_ok());
    }

    #[test]
    fn bombs_of_shape_are_refused() {
        let chain = |n: usize, sign: &str| vec!["1"; n].join(sign);
        let ctes = |n: usize| {
            let next =
                |i: usize| format!("c{i} as (select a.x from c{} a join c{} b on a.x = b.x)", i - 1, i - 1);
            let all: Vec<String> = (1..n).map(next).collect();
            format!("with c0 as (select 1 x), {} select * from c{}", all.join(", "), n - 1)
        };
        let bombs = [
            format!("select {}", chain(2_000, "+")),
            format!("select {}", chain(9_000, "+")),
            format!("select 1 where {}", vec!["1=1"; 2_000].join(" or ")),
            format!("select 1{}", "::int".repeat(2_000)),
            format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
            format!("select {}1", "not ".repeat(5_000)),
            format!("select {}1", "- ".repeat(5_000)),
            format!("{}select 1{}", "select * from (".repeat(2_000), ") t".repeat(2_000)),
            format!("select {}", (0..300).fold("1".to_owned(), |e, _| format!("abs({e})"))),
            format!("select case {} end", "when 1=1 then case when 2=2 then 3 end ".repeat(3_000)),
            ctes(18),
            ctes(32),
            format!(
                "select 1 from t group by cube({})",
                (0..24).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",")
            ),
            "select 1 from t group by cube(a,b,c), cube(d,e)".to_owned(),
            format!("select 1 from t group by rollup({})", vec!["a"; 20].join(",")),
            format!("select * from {}", vec!["t"; 40].join(", ")),
            format!("select * from t {}", "cross join t ".repeat(40)),
            format!("select * from ({}) x", vec!["select 1"; 70].join(" union all ")),
            format!("select 1{}", " union all select 1".repeat(2_000)),
            "with recursive r as (select 1 n union all select n + 1 from r) select * from r".to_owned(),
        ];
        for bomb in bombs {
            let start: String = bomb.chars().take(60).collect();
            let refused = judge(bomb).err().unwrap_or_default();
            assert!(["query-too-complex", "invalid-sql"].contains(&refused.as_str()), "{start}: {refused}");
        }
    }

    #[test]
    fn ordinary_statements_pass() {
        let list: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
        for sql in [
            format!("select 1 where 5 in ({})", list.join(",")),
            format!("select {}", vec!["1"; 300].join("+")),
            "select a, sum(b) over (partition by a order by c) from t group by cube(a, b)".to_owned(),
            format!("select * from t {}", "left join t on true ".repeat(30)),
        ] {
            assert!(judge(sql.clone()).is_ok(), "{}", sql.chars().take(60).collect::<String>());
        }
    }
}
