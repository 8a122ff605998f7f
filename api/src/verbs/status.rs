//! `status`: what the lake holds and how fresh it is; a table for people, JSON for programs.
#![expect(clippy::print_stdout, reason = "the answer of the verb")]

use std::io::IsTerminal;

use anyhow::Context;
use catalog::{Catalog, Table};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::config::Config;
use crate::node::Ground;
use crate::verbs::{print, runtime};

/// Prints the platform's tables and the number of customers.
pub fn run(config: &Config) -> anyhow::Result<()> {
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let catalog =
            Catalog::open(ground.db.clone(), catalog::Config::default()).await.context("catalog")?;
        let customers = ground.auth.list_customers().await?.len();
        let (moment, now) = (catalog.moment(), Utc::now());
        let tables = moment.platform_tables();
        if std::io::stdout().is_terminal() {
            println!("{}\n\ncustomers: {customers}", aligned(tables.iter().map(|table| line(table, now))));
        } else {
            let tables: Vec<Value> = tables.iter().map(|table| entry(table, now)).collect();
            print(&json!({"tables": tables, "customers": customers}))?;
        }
        ground.db.close().await;
        Ok(())
    })
}

fn entry(table: &Table, now: DateTime<Utc>) -> Value {
    json!({"table": table.name, "version": table.version, "rows": table.rows, "bytes": table.bytes,
           "updated_at": table.updated_at, "overdue": table.overdue(now), "failing": table.failing()})
}

type Line = [String; 6];

fn line(table: &Table, now: DateTime<Utc>) -> Line {
    [
        table.name.to_string(),
        table.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        table.rows.to_string(),
        table.bytes.to_string(),
        table.updated_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        words(table, now),
    ]
}

/// What is wrong with a table; empty for one in order.
fn words(table: &Table, now: DateTime<Utc>) -> String {
    let wrong = [(table.overdue(now), "overdue"), (table.failing(), "failing")];
    wrong.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

/// Columns under their heads; numbers to the right.
fn aligned(lines: impl Iterator<Item = Line>) -> String {
    let head = ["table", "version", "rows", "bytes", "updated at", ""].map(str::to_owned);
    let all: Vec<Line> = [head].into_iter().chain(lines).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|n| all.iter().map(|line| line[n].chars().count()).max().unwrap_or(0));
    let one = |line: &Line| {
        let cells = line.iter().zip(widths).enumerate().map(|(n, (cell, width))| match n {
            1..=3 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heads() {
        let row = ["weather.daily", "12", "1500", "9", "2026-01-31T00:00:00Z", "overdue"].map(str::to_owned);
        let text = aligned([row].into_iter());
        let starts: Vec<_> = text.lines().map(|line| line.find("20").or(line.find("updated"))).collect();
        assert_eq!(starts[0], starts[1], "{text}");
        assert!(text.contains("     12  1500      9"), "{text}");
    }
}
