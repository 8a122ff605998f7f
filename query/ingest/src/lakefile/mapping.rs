//! Mapping tables: CSV files beside the models, `mappings/<schema>.<table>.csv`, whose columns `lake.toml` declares.
//!
//! What one source calls `SaoPaulo` and another `São Paulo` is made one by such a table: by data, not by code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use identity::{RegionId, TableName};

use super::{LakefileError, TableSpec};

/// The columns of the lake's spellings: what a region is called, and its id.
pub(super) const ALIAS: &str = "alias";
pub(super) const PLACE: &str = "place";

/// One mapping file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The file's name, for messages.
    pub file: String,
    /// The table that it fills: the file's name without its ending.
    pub table: TableName,
    /// Where it is read again from; `None` for a file that is built into the binary.
    pub path: Option<PathBuf>,
    /// What it held when the lake was read.
    pub text: String,
    /// Whether it says what sources call regions: the lake's `spellings`.
    pub spells: bool,
}

impl Mapping {
    /// The mapping in a file of that name.
    /// - Errors: [`LakefileError::Mapping`] for a file that is not called `schema.table.csv`.
    pub fn new(file: &str, path: Option<PathBuf>, text: String) -> Result<Self, LakefileError> {
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let table = stem.parse().map_err(|_| LakefileError::Mapping {
            file: file.to_owned(),
            line: 1,
            reason: "a mapping is called schema.table.csv".to_owned(),
        })?;
        Ok(Self { file: file.to_owned(), table, path, text, spells: false })
    }

    pub(super) fn of((file, path, text): &(String, Option<PathBuf>, String)) -> Result<Self, LakefileError> {
        Self::new(file, path.clone(), text.clone())
    }

    /// The rows of a mapping's text.
    /// - Shape: the columns of the table, which the header names, in any order; an empty cell is null.
    /// - Errors: [`LakefileError::Mapping`] with the line: a column too many or too few, a value of another type, a key
    ///   that is empty or there twice, and of spellings a place that is no region.
    pub fn rows(&self, text: &str, spec: &TableSpec) -> Result<RecordBatch, LakefileError> {
        let wrong = |(line, reason): (u64, String)| LakefileError::Mapping {
            file: self.file.clone(),
            line: usize::try_from(line).unwrap_or(1),
            reason,
        };
        let cells = Cells::read(text, spec).map_err(wrong)?;
        cells.unique(spec).map_err(wrong)?;
        if self.spells {
            cells.regions(spec).map_err(wrong)?;
        }
        let columns =
            spec.columns.iter().enumerate().map(|(n, c)| cells.column(n, &c.name, c.r#type.arrow()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        RecordBatch::try_new(spec.schema(), columns).map_err(|e| wrong((1, e.to_string())))
    }
}

/// A line of the file and what is wrong with it.
type Wrong = (u64, String);

/// The cells of a file by column of the table; an empty one is `None`.
struct Cells {
    columns: Vec<Vec<Option<String>>>,
    lines: Vec<u64>,
}

impl Cells {
    fn read(text: &str, spec: &TableSpec) -> Result<Self, Wrong> {
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let header = reader.headers().map_err(|e| (1_u64, e.to_string()))?.clone();
        let unknown = header.iter().find(|name| !spec.columns.iter().any(|c| c.name == *name));
        if let Some(name) = unknown {
            return Err((1, format!("`{name}` is no column of `{}`", spec.name)));
        }
        let place = |name: &str| header.iter().position(|given| given == name);
        let places =
            spec.columns.iter().map(|c| place(&c.name).ok_or(&c.name)).collect::<Result<Vec<_>, _>>();
        let places = places.map_err(|name| (1_u64, format!("there is no column `{name}`")))?;
        let mut cells = Self { columns: vec![Vec::new(); places.len()], lines: Vec::new() };
        for record in reader.records() {
            let record = record.map_err(|e| (e.position().map_or(1, csv::Position::line), e.to_string()))?;
            cells.lines.push(record.position().map_or(1, csv::Position::line));
            for (column, place) in cells.columns.iter_mut().zip(&places) {
                let cell = record.get(*place).unwrap_or_default().trim();
                column.push((!cell.is_empty()).then(|| cell.to_owned()));
            }
        }
        Ok(cells)
    }

    /// Every row has a key, and none has another's.
    fn unique(&self, spec: &TableSpec) -> Result<(), Wrong> {
        let places: Vec<usize> = spec
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| spec.key.contains(&c.name))
            .map(|(n, _)| n)
            .collect();
        let mut seen = std::collections::HashMap::new();
        for (row, line) in self.lines.iter().enumerate() {
            let key: Option<Vec<&str>> = places.iter().map(|n| self.columns[*n][row].as_deref()).collect();
            let Some(key) = key else { return Err((*line, format!("it has no {}", spec.key.join(", ")))) };
            if let Some(first) = seen.insert(key.clone(), *line) {
                return Err((*line, format!("`{}` is already on line {first}", key.join(", "))));
            }
        }
        Ok(())
    }

    /// Every alias is one of a region.
    fn regions(&self, spec: &TableSpec) -> Result<(), Wrong> {
        let Some(n) = spec.columns.iter().position(|c| c.name == PLACE) else { return Ok(()) };
        for (cell, line) in self.columns[n].iter().zip(&self.lines) {
            let Some(place) = cell else { return Err((*line, format!("it has no {PLACE}"))) };
            RegionId::parse(place).map_err(|e| (*line, format!("`{PLACE}`: {e}")))?;
        }
        Ok(())
    }

    fn column(&self, n: usize, name: &str, wanted: arrow::datatypes::DataType) -> Result<ArrayRef, Wrong> {
        let texts: ArrayRef = Arc::new(self.columns[n].iter().map(Option::as_deref).collect::<StringArray>());
        let values = cast(&texts, &wanted).map_err(|e| (1_u64, e.to_string()))?;
        let lost = (0..values.len()).find(|row| texts.is_valid(*row) && values.is_null(*row));
        match lost {
            Some(row) => {
                let cell = self.columns[n][row].as_deref().unwrap_or_default();
                Err((self.lines[row], format!("`{cell}` is no value of `{name}`")))
            }
            None => Ok(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TableSpec {
        let text = "name = \"geo.aliases\"\narea = \"curated\"\ndescription = \"x\"\nkey = [\"alias\"]\nsort = [\"alias\"]\n\
            columns = [{ name = \"alias\", type = \"text\", description = \"x\" }, { name = \"n\", type = \"bigint\", description = \"x\" }]";
        toml::from_str(text).unwrap()
    }

    fn rows(text: &str) -> Result<usize, String> {
        let mapping = Mapping::new("mappings/geo.aliases.csv", None, String::new()).unwrap();
        mapping.rows(text, &spec()).map(|batch| batch.num_rows()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_mapping_has_the_columns_of_its_table_and_tells_its_wrong_lines() {
        assert_eq!(rows("n,alias\n1,SaoPaulo\n,\"Sao, Paulo\"\n"), Ok(2));
        assert_eq!(rows("n,alias\n"), Ok(0));
        for (text, words) in [
            ("n,alias,x\n", "line 1: `x` is no column"),
            ("n\n1\n", "line 1: there is no column `alias`"),
            ("n,alias\n1,a\nx,b\n", "line 3: `x` is no value of `n`"),
            ("n,alias\n1,a\n2,a\n", "line 3: `a` is already on line 2"),
            ("n,alias\n1,\n", "line 2: it has no alias"),
            ("n,alias\n1,a,2\n", "line 2: "),
        ] {
            let told = rows(text).unwrap_err();
            assert!(told.starts_with("mapping mappings/geo.aliases.csv, ") && told.contains(words), "{told}");
        }
        assert!(Mapping::new("mappings/aliases.csv", None, String::new()).is_err());
    }
}
