//! `status`: what the lake holds, what is late against its promise, why, and what to do; tables for people, JSON for programs.
#![expect(clippy::print_stdout, reason = "the answer of the verb")]

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use catalog::Catalog;
use chrono::{DateTime, SecondsFormat, Utc};
use ingest::health::{Facts, Health, SourceHealth, TableHealth};
use serde::Serialize;

use crate::config::Config;
use crate::node::{Ground, Store};
use crate::verbs::{print, runtime};

/// The exit code of a lake that is not well; 1 is a status that could not be told.
const UNWELL: u8 = 2;

/// Something is late or fails; what, stands on standard output.
#[derive(Debug, thiserror::Error)]
#[error("not all is well")]
pub struct Unwell;

impl Unwell {
    pub fn code(&self) -> ExitCode {
        ExitCode::from(UNWELL)
    }
}

/// What is printed for programs.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    health: &'a Health,
    customers: usize,
}

/// Prints how the lake fares. Errors: [`Unwell`] where something is late or fails.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let lakefile = Store::lakefile(config)?;
    runtime(1)?.block_on(async {
        let ground = Ground::open(config).await?;
        let catalog =
            Catalog::open(ground.db.clone(), catalog::Config::default()).await.context("catalog")?;
        let customers = ground.auth.list_customers().await?.len();
        let health = Facts::read(&catalog).await.context("catalog")?.assess(&lakefile, Utc::now());
        ground.db.close().await;
        if std::io::stdout().is_terminal() {
            println!("{}\ncustomers: {customers}", words(&health));
        } else {
            print(&Told { health: &health, customers })?;
        }
        if health.well { Ok(()) } else { Err(Unwell.into()) }
    })
}

fn words(health: &Health) -> String {
    let mut text = aligned(
        ["table", "version", "rows", "bytes", "updated at", ""],
        health.tables.iter().map(table_line),
    );
    text += "\n\n";
    text += &aligned(
        ["source", "failures", "set aside", "", "last well", ""],
        health.sources.iter().map(source_line),
    );
    text += "\n";
    let late = health.tables.iter().filter(|table| table.why.is_some());
    let late = late.map(|table| (table.table.to_string(), &table.why, &table.todo));
    let failing = health.sources.iter().filter(|source| source.failures > 0);
    for (name, why, todo) in
        late.chain(failing.map(|source| (source.source.clone(), &source.why, &source.todo)))
    {
        let told = |text: &Option<String>| text.clone().unwrap_or_default();
        text += &format!("\n{name}: {}\n  -> {}\n", told(why), told(todo));
    }
    for aside in &health.set_aside {
        text +=
            &format!("\nset aside: {} of {}: {}\n  -> {}\n", aside.file, aside.source, aside.why, aside.todo);
    }
    for letter in &health.dead_letters {
        let error = letter.error.as_deref().unwrap_or_default();
        text += &format!("\nnot told: {} ({} attempts, {error})\n", letter.detail, letter.attempts);
    }
    text
}

type Line = [String; 6];

fn table_line(table: &TableHealth) -> Line {
    [
        table.table.to_string(),
        table.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        table.rows.to_string(),
        table.bytes.to_string(),
        instant(table.updated_at),
        wrong(table),
    ]
}

/// What is wrong with a table; empty for one in order.
fn wrong(table: &TableHealth) -> String {
    let wrong =
        [(table.overdue, "overdue"), (table.failing, "failing"), (table.upkeep.is_some(), "upkeep fails")];
    wrong.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn source_line(source: &SourceHealth) -> Line {
    let well = source.succeeded_at.map_or_else(|| "-".to_owned(), instant);
    let state = if source.well { String::new() } else { "failing".to_owned() };
    let aside = source.set_aside.to_string();
    [source.source.clone(), source.failures.to_string(), aside, String::new(), well, state]
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Columns under their heads; numbers to the right.
fn aligned(head: [&str; 6], lines: impl Iterator<Item = Line>) -> String {
    let all: Vec<Line> = [head.map(str::to_owned)].into_iter().chain(lines).collect();
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
        let text = aligned(["table", "version", "rows", "bytes", "updated at", ""], [row].into_iter());
        let starts: Vec<_> = text.lines().map(|line| line.find("20").or(line.find("updated"))).collect();
        assert_eq!(starts[0], starts[1], "{text}");
        assert!(text.contains("     12  1500      9"), "{text}");
    }
}
