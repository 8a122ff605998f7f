//! Both folders of migrations make the same database.

use std::collections::BTreeSet;

use crate::migrate::{POSTGRES, SQLITE};
use crate::testing::Scratch;
use crate::{Db, on};

/// `table.column: type null|not null`
type Columns = BTreeSet<String>;

async fn columns(db: &Db) -> Columns {
    const OF_SQLITE: &str = "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 FROM sqlite_schema t
        JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";
    const OF_POSTGRES: &str =
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES'
        FROM information_schema.columns WHERE table_schema = current_schema()";
    let sql = if matches!(db, Db::Postgres(_)) { OF_POSTGRES } else { OF_SQLITE };
    let rows: Vec<(String, String, String, bool)> =
        on!(db, |pool| sqlx::query_as(sql).fetch_all(pool)).unwrap();
    let ours = rows.into_iter().filter(|row| !is_foreign(&row.0));
    ours.map(|(table, column, kind, null)| {
        format!("{table}.{column}: {} {}", in_sqlite(&kind), if null { "null" } else { "not null" })
    })
    .collect()
}

fn is_foreign(table: &str) -> bool {
    table.starts_with("_sqlx") || table.starts_with("sqlite_")
}

/// The type that stands for it in SQLite; one that the table in the crate's head does not list stays as it is.
fn in_sqlite(kind: &str) -> &str {
    match kind {
        "uuid" | "bytea" => "BLOB",
        "text" | "timestamp with time zone" | "date" | "jsonb" => "TEXT",
        "boolean" | "bigint" => "INTEGER",
        "double precision" => "REAL",
        other => other,
    }
}

/// `table(column, column)` of each unique key, with PostgreSQL's name for it.
async fn unique_keys(db: &Db) -> BTreeSet<(String, Option<String>)> {
    const OF_SQLITE: &str = "SELECT t.name, NULL,
            (SELECT group_concat(name, '_') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
        FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.\"unique\"";
    const OF_POSTGRES: &str = "SELECT t.relname::text, i.relname::text,
            (SELECT string_agg(a.attname, '_' ORDER BY k.n) FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.num)
        FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indisunique AND t.relnamespace = current_schema()::regnamespace";
    let sql = if matches!(db, Db::Postgres(_)) { OF_POSTGRES } else { OF_SQLITE };
    let rows: Vec<(String, Option<String>, Option<String>)> =
        on!(db, |pool| sqlx::query_as(sql).fetch_all(pool)).unwrap();
    let ours = rows.into_iter().filter(|row| !is_foreign(&row.0));
    ours.map(|(table, name, columns)| (format!("{table}_{}", columns.unwrap_or_default()), name)).collect()
}

async fn both() -> Option<(Scratch, Scratch)> {
    let (sqlite, postgres) = (Scratch::sqlite().await, Scratch::postgres().await?);
    sqlite.migrate().await.unwrap();
    postgres.migrate().await.unwrap();
    Some((sqlite, postgres))
}

#[test]
fn both_folders_have_the_same_numbers_and_names() {
    let list = |migrator: &sqlx::migrate::Migrator| {
        migrator.iter().map(|m| (m.version, m.description.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(list(&SQLITE), list(&POSTGRES));
    assert!(!list(&SQLITE).is_empty());
}

#[tokio::test]
async fn both_make_the_same_tables_and_columns() {
    let Some((sqlite, postgres)) = both().await else { return };
    let (of_sqlite, of_postgres) = (columns(&sqlite).await, columns(&postgres).await);
    assert!(of_sqlite.contains("customers.id: BLOB not null"));
    assert_eq!(of_sqlite, of_postgres);
}

#[tokio::test]
async fn both_have_the_same_unique_keys_under_names_that_callers_know() {
    let Some((sqlite, postgres)) = both().await else { return };
    let of_postgres = unique_keys(&postgres).await;
    for (columns, name) in &of_postgres {
        assert_eq!(name.as_ref(), Some(columns), "name it by its columns, as SQLite's message does");
    }
    let names = |keys: BTreeSet<(String, Option<String>)>| -> BTreeSet<String> {
        keys.into_iter().map(|(columns, _)| columns).collect()
    };
    assert_eq!(names(unique_keys(&sqlite).await), names(of_postgres));
}
