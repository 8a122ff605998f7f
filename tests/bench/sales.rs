//! The file that a customer uploads: sales by region and day, 3 columns of numbers, 2 of text, 1 of dates.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use chrono::{Days, NaiveDate};

/// The days of the file; the lake has them too.
const DAYS: u64 = 3_650;

/// Writes about so many bytes of CSV, rows in no order, and tells how many rows.
/// Errors: the file cannot be written.
pub fn write(path: &Path, bytes: u64, regions: &[String], last: NaiveDate) -> std::io::Result<u64> {
    let mut file = Counted { inner: BufWriter::with_capacity(1 << 20, File::create(path)?), bytes: 0 };
    let days: Vec<String> = (0..DAYS).map(|n| (last - Days::new(n)).to_string()).collect();
    writeln!(file, "region_id,product,day,sold,price,discount")?;
    let (mut random, mut rows) = (Random(7), 0);
    while file.bytes < bytes {
        let region = &regions[random.below(regions.len() as u64) as usize];
        let day = &days[random.below(DAYS) as usize];
        let (product, sold) = (random.below(2_000), random.below(500));
        let (price, discount) = (random.below(100_000), random.below(10_000));
        let (euro, cent) = (price / 100, price % 100);
        writeln!(file, "{region},product-{product:04},{day},{sold},{euro}.{cent:02},0.{discount:04}")?;
        rows += 1;
    }
    file.inner.flush()?;
    Ok(rows)
}

/// A writer that knows how much it wrote.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Numbers that look random and are the same in every run (xorshift).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}
