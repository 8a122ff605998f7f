//! Partial aggregates by file: a file never changes, so a run computes those of new files and puts all together.
//!
//! ```text
//! WITH partials AS (…) rest      files of the input ─┬─ recent: `partials` of each, kept ──┐
//!                                                    └─ older: of the touched part ────────┴─▶ rest ─▶ rows
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use catalog::Moment;
use chrono::NaiveDate;
use datafusion::datasource::MemTable;
use datafusion::sql::parser::{DFParser, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Query, Statement};
use identity::TableName;
use lake::DataFile;
use moka::sync::Cache;
use tokio::runtime::Handle;

use super::run::heavily;
use super::session::{Files, Sessions, day};
use super::{Model, ModelError};
use crate::sources::Touched;

/// How the statement names that part.
const PARTIALS: &str = "partials";

/// The name of its rows among the tables of a session.
pub fn table() -> TableName {
    TableName::new("lake", PARTIALS)
}

/// Memory for what is kept of all models.
const KEPT_BYTES: u64 = 64 << 20;

/// A statement in two.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The table whose files are looked at one by one.
    pub input: TableName,
    /// What is computed for each of them,
    pub each: String,
    /// and the other tables that it reads.
    pub beside: BTreeSet<TableName>,
    /// What makes the model's rows of all of those, in the table `lake.partials`.
    pub rest: String,
}

impl Cut {
    /// Cuts a statement.
    /// - Errors: why it cannot be cut.
    pub fn of(input: TableName, sql: &str) -> Result<Self, String> {
        let mut query = query(sql).ok_or("it is no query")?;
        let part = taken(&mut query).ok_or_else(|| format!("it has no `WITH {PARTIALS} AS (…)`"))?;
        let (each, rest) = (part.to_string(), query.to_string());
        let reads = |sql: &str| super::header::tables(sql).map_err(|wrong| wrong.reason);
        let mut beside = reads(&each)?;
        match (beside.remove(&input), reads(&rest)?.contains(&input)) {
            (true, false) => Ok(Self { input, each, beside, rest }),
            (true, true) => Err(format!("it reads `{input}` outside of `{PARTIALS}` too")),
            (false, _) => Err(format!("its `{PARTIALS}` do not read `{input}`")),
        }
    }
}

fn query(sql: &str) -> Option<Box<Query>> {
    let Parsed::Statement(statement) = DFParser::parse_sql(sql).ok()?.pop_front()? else { return None };
    match *statement {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

/// Takes the part out of its statement, which reads a table in its place. It comes first, so that it rests on no other part.
fn taken(query: &mut Query) -> Option<Box<Query>> {
    let with = query.with.as_mut().filter(|with| !with.recursive)?;
    let part = with.cte_tables.first_mut().filter(|part| part.alias.name.value == PARTIALS)?;
    let table = self::query(&format!("SELECT * FROM {}", table()))?;
    Some(std::mem::replace(&mut part.query, table))
}

/// One file, and what else its partial aggregates rest on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Partial {
    model: TableName,
    file: String,
    /// The bytes of the other tables that they rest on, by their files.
    beside: Arc<[String]>,
}

/// What a statement gave.
type Rows = (SchemaRef, Vec<RecordBatch>);

/// The partial aggregates of recent files, kept as long as they are asked for.
pub struct Partials(Cache<Partial, Rows>);

impl Default for Partials {
    fn default() -> Self {
        let bytes = |_: &Partial, (_, rows): &Rows| {
            let bytes: usize = rows.iter().map(RecordBatch::get_array_memory_size).sum();
            u32::try_from(bytes + 256).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().weigher(bytes).max_capacity(KEPT_BYTES).build())
    }
}

/// One run of a model whose statement is cut.
pub struct Run<'a> {
    pub model: &'a Model,
    pub cut: &'a Cut,
    pub sessions: &'a Sessions,
    pub moment: &'a Moment,
    pub touched: &'a Touched,
    pub heavy: &'a Handle,
}

impl Run<'_> {
    /// The table `lake.partials`: what each of the files gives that the touched windows need. A file with rows of `recent` or later
    /// gives all its rows, and is kept, as the next change needs it again; of older ones only the touched part is read.
    pub async fn table(&self, known: &Partials, recent: NaiveDate) -> Result<MemTable, ModelError> {
        let Files { files, dated, beside } =
            self.sessions.files(self.model, self.cut, self.moment, self.touched).await?;
        let still_changes = |file: &Arc<DataFile>| {
            let last = dated.as_ref().and_then(|field| file.max(field.name(), field.data_type()));
            last.and_then(|bound| day(&bound)).is_some_and(|last| last >= recent)
        };
        let (changing, old): (Vec<_>, Vec<_>) = files.into_iter().partition(still_changes);
        let mut all = Vec::with_capacity(changing.len() + 1);
        if !old.is_empty() || changing.is_empty() {
            all.push(self.each(old, true).await?);
        }
        for file in changing {
            all.push(self.kept(known, file, &beside).await?);
        }
        let schema = all.first().map_or_else(|| Arc::new(Schema::empty()), |(schema, _)| Arc::clone(schema));
        let rows = all.into_iter().flat_map(|(_, rows)| rows).collect();
        let failed = |source| ModelError::Statement { model: self.model.table.clone(), source };
        MemTable::try_new(schema, vec![rows]).map_err(failed)
    }

    /// What one file gives, as far as it is known or else from now on.
    async fn kept(
        &self,
        known: &Partials,
        file: Arc<DataFile>,
        beside: &Arc<[String]>,
    ) -> Result<Rows, ModelError> {
        let (model, name) = (self.model.table.clone(), file.path.clone());
        let partial = Partial { model, file: name, beside: Arc::clone(beside) };
        if let Some(rows) = known.0.get(&partial) {
            return Ok(rows);
        }
        let rows = self.each(vec![file], false).await?;
        known.0.insert(partial, rows.clone());
        Ok(rows)
    }

    /// What some files give together: all their rows, or those of the touched part.
    async fn each(&self, files: Vec<Arc<DataFile>>, touched: bool) -> Result<Rows, ModelError> {
        let touched = touched.then_some(self.touched);
        let session = self.sessions.of_files(self.model, self.cut, self.moment, files, touched).await?;
        let sql = self.cut.each.clone();
        heavily(self.heavy, self.model, async move {
            let rows = session.sql(&sql).await?;
            let schema = Arc::clone(rows.schema().inner());
            Ok((schema, rows.collect().await?))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sql: &str) -> Result<Cut, String> {
        Cut::of("a.b".parse().unwrap(), sql)
    }

    #[test]
    fn a_statement_is_cut_where_its_partials_end() {
        let two = cut("WITH partials AS (SELECT x FROM a.b JOIN c.d USING (x)), y AS (SELECT x FROM partials) SELECT x FROM y")
            .unwrap();
        assert_eq!(two.each, "SELECT x FROM a.b JOIN c.d USING(x)");
        let rest =
            "WITH partials AS (SELECT * FROM lake.partials), y AS (SELECT x FROM partials) SELECT x FROM y";
        assert_eq!(two.rest, rest);
    }

    #[test]
    fn a_statement_that_cannot_be_cut_is_refused_with_the_reason() {
        for (sql, words) in [
            ("SELECT x FROM a.b", "it has no `WITH partials AS"),
            ("WITH other AS (SELECT 1), partials AS (SELECT x FROM a.b) SELECT 1", "it has no"),
            ("WITH partials AS (SELECT x FROM c.d) SELECT * FROM partials", "do not read `a.b`"),
            ("WITH partials AS (SELECT x FROM a.b) SELECT * FROM partials, a.b", "outside of"),
        ] {
            let reason = cut(sql).unwrap_err();
            assert!(reason.contains(words), "{sql}: {reason}");
        }
    }
}
