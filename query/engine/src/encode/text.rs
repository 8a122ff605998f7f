//! JSON, NDJSON and CSV: rows written one after the other into one buffer.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::Bytes;

use super::cells::{Cell, Style, cell, neutral, quoted};
use super::{EncodeError, Format};

/// A body that grows by rows.
pub(super) struct Text {
    format: Format,
    out: Vec<u8>,
    /// What stands before the value of each column: `{"a":`, `,"b":`, or a comma.
    before: Vec<Vec<u8>>,
    rows: usize,
}

impl Text {
    pub(super) fn new(format: Format, schema: &Schema, bom: bool) -> Self {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let before = names.iter().enumerate().map(|(at, name)| before(format, at, name)).collect();
        let mut out = Vec::with_capacity(64 << 10);
        match format {
            Format::Csv => header(&names, bom, &mut out),
            Format::Json => out.push(b'['),
            _ => {}
        }
        Self { format, out, before, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, most: usize) -> Result<usize, EncodeError> {
        let style = if self.format == Format::Csv { Style::Csv } else { Style::Json };
        let cells =
            batch.columns().iter().map(|column| cell(column, style)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let whole = self.out.len();
            self.row(&cells, row);
            if self.out.len() > most {
                self.out.truncate(whole);
                return Ok(row);
            }
            self.rows += 1;
        }
        Ok(batch.num_rows())
    }

    fn row(&mut self, cells: &[Cell], row: usize) {
        if self.format == Format::Json && self.rows > 0 {
            self.out.push(b',');
        }
        for (before, cell) in self.before.iter().zip(cells) {
            self.out.extend_from_slice(before);
            cell(row, &mut self.out);
        }
        match (self.format, cells.is_empty()) {
            (Format::Csv, _) => self.out.extend_from_slice(b"\r\n"),
            (Format::Ndjson, false) => self.out.extend_from_slice(b"}\n"),
            (Format::Ndjson, true) => self.out.extend_from_slice(b"{}\n"),
            (_, false) => self.out.push(b'}'),
            (_, true) => self.out.extend_from_slice(b"{}"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> Bytes {
        if self.format == Format::Json {
            self.out.push(b']');
        }
        self.out.into()
    }
}

fn before(format: Format, at: usize, name: &str) -> Vec<u8> {
    if format == Format::Csv {
        return if at == 0 { Vec::new() } else { b",".to_vec() };
    }
    let mut text = vec![if at == 0 { b'{' } else { b',' }];
    quoted(name, &mut text);
    text.push(b':');
    text
}

fn header(names: &[&str], bom: bool, out: &mut Vec<u8>) {
    if bom {
        out.extend_from_slice("\u{feff}".as_bytes());
    }
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        neutral(name, out);
    }
    out.extend_from_slice(b"\r\n");
}
