//! The peer of everything that reads and converts data: DuckDB from PyPI, in a process that stays for many questions.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use harness::Python;
use serde_json::{Value, json};

use crate::Failure;

/// A line of JSON in, a line of JSON out. A result is taken as Arrow: no time goes into Python objects.
const PROGRAM: &str = r#"
import json, sys, time
import duckdb
from deltalake import DeltaTable
con = duckdb.connect()
con.execute("SET threads TO 2; SET enable_progress_bar = false")
print(json.dumps(duckdb.__version__), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    for name, folder in ask.get("tables", {}).items():
        files = [uri.removeprefix("file://") for uri in DeltaTable(folder).file_uris()]
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
        con.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet({files})")
    start = time.perf_counter()
    rows = [con.sql(sql, params=ask["params"]).to_arrow_table() for sql in ask.get("sql", [])]
    ms = (time.perf_counter() - start) * 1000
    print(json.dumps({"ms": ms, "rows": [row for table in rows for row in table.to_pylist()]}, default=str), flush=True)
"#;

/// A running DuckDB; it ends with the value.
pub struct DuckDb {
    pub version: String,
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl DuckDb {
    pub fn start() -> Result<Self, Failure> {
        let python = Python::with(&["duckdb==2.0.0", "deltalake==1.6.6", "pyarrow==26.0.1"])
            .ok_or("no Python with duckdb")?;
        let mut command = Command::new(python.program("python"));
        command.arg("-c").arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let ask = child.stdin.take().ok_or("no standard input")?;
        let told = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut duckdb = Self { version: String::new(), child, ask, told };
        duckdb.version = duckdb.line()?.as_str().unwrap_or_default().to_owned();
        Ok(duckdb)
    }

    /// Makes the live files of Delta tables readable by name (`schema.table`).
    pub fn tables(&mut self, tables: &BTreeMap<&str, PathBuf>) -> Result<(), Failure> {
        self.call(&json!({ "tables": tables })).map(drop)
    }

    /// Runs statements with the same parameters: milliseconds of all, rows of all.
    pub fn time(&mut self, sql: &[&str], params: &[&str]) -> Result<(f64, Value), Failure> {
        let mut answer = self.call(&json!({"sql": sql, "params": params}))?;
        Ok((answer["ms"].as_f64().ok_or("DuckDB tells its time")?, answer["rows"].take()))
    }

    /// Milliseconds of a CSV file to a Parquet file.
    pub fn convert(&mut self, csv: &Path, parquet: &Path) -> Result<f64, Failure> {
        let (from, to) = (csv.display(), parquet.display());
        let sql = format!("COPY (SELECT * FROM read_csv('{from}')) TO '{to}' (FORMAT parquet)");
        Ok(self.time(&[&sql], &[])?.0)
    }

    fn call(&mut self, ask: &Value) -> Result<Value, Failure> {
        writeln!(self.ask, "{ask}")?;
        self.line()
    }

    fn line(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        match self.told.read_line(&mut line)? {
            0 => Err("DuckDB has ended; its error stands above".into()),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
