//! What an area no longer keeps goes: rows of days before a month, in one commit a table, and bytes that came before a day.
//!
//! What was computed from them stays: a model computes no day anew whose inputs are no longer whole.

use chrono::{DateTime, NaiveDate, Utc};
use datafusion::scalar::ScalarValue;
use identity::TableName;
use lake::{DataFile, Location, Snapshot};

use super::raw::day_of;
use super::{Arrivals, SourceError};
use crate::publish::{Error, Mode, Regions, Rows, Window, Write};

impl Arrivals {
    /// Removes the rows that a table's area no longer keeps. Readers hold the version they began with.
    pub(super) async fn expire_rows(&self, name: &TableName, now: DateTime<Utc>) -> Result<(), Error> {
        let lakefile = &self.0.lakefile;
        let column = lakefile.table(name).and_then(|spec| spec.dated());
        let first = lakefile.first_day(name, now.date_naive());
        let table = self.0.catalog.moment().table(name).filter(|table| table.version.is_some());
        let (Some(column), Some(first), Some(table)) = (column, first, table) else { return Ok(()) };
        let at: Location = table.location.parse()?;
        let lake = self.0.publisher.lake();
        let snapshot = lake.snapshot(&at, table.version.unwrap_or_default()).await?;
        if !snapshot.files().iter().any(|file| may_be_before(file, &snapshot, column, first)) {
            return Ok(());
        }
        let windows = vec![Window { region: None, from: NaiveDate::MIN, to: first }];
        let mode = Mode::ReplaceWindow { column: column.to_owned(), windows };
        let mut write = Write::new(Rows::Batches(snapshot.schema().clone(), Vec::new()), mode, now);
        write.regions = Regions::All;
        write.days = Some(catalog::Days { first: Some(first), ..Default::default() });
        self.0.publisher.write(&table, write).await?;
        tracing::info!(table = %name, %first, "rows before this day have expired");
        Ok(())
    }

    /// Removes the bytes that came before the days that the raw area keeps.
    /// - Shape: how many objects went.
    pub(super) async fn expire_raw(&self, now: DateTime<Utc>) -> Result<u64, SourceError> {
        let Some(first) = self.0.lakefile.first_raw_day(now.date_naive()) else { return Ok(0) };
        let mut gone = 0;
        for path in self.0.raw.list("").await? {
            if day_of(&path).is_some_and(|day| day < first) {
                self.0.raw.objects().delete(&path).await?;
                gone += 1;
            }
        }
        if gone > 0 {
            tracing::info!(objects = gone, %first, "raw bytes that came before this day have expired");
        }
        Ok(gone)
    }

    /// Errors: raw bytes have expired, or may have: everything cannot be made from them again.
    pub(super) fn has_all_raw(&self) -> Result<(), SourceError> {
        if !self.0.lakefile.expires_raw() {
            return Ok(());
        }
        Err(SourceError::refused(
            "`retention.raw` lets bytes go, and rows made from them would be lost; take it out of lake.toml to rebuild \
             from the bytes that are left",
        ))
    }
}

/// Whether the file may hold rows of before a day, by its statistics.
fn may_be_before(file: &DataFile, snapshot: &Snapshot, column: &str, day: NaiveDate) -> bool {
    let kind = snapshot.schema().field_with_name(column).map(|field| field.data_type().clone());
    let least = kind.ok().and_then(|kind| file.min(column, &kind));
    let least = match least {
        Some(ScalarValue::Date32(Some(days))) => {
            chrono::DateTime::from_timestamp(i64::from(days) * 86_400, 0)
        }
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => DateTime::from_timestamp_micros(micros),
        _ => None,
    };
    least.is_none_or(|least| least.date_naive() < day)
}
