//! Which files a region's days came from, and so which of its days another version of the table may have changed.
//!
//! Files never change: where two versions name the same files for a region, its rows are the same.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use identity::RegionId;
use lake::{DataFile, Snapshot};

/// A file that may hold rows of a region, and the days it may hold, in days since 1970-01-01; `None` where it does not tell.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    file: Arc<DataFile>,
    days: Option<(i32, i32)>,
}

/// A version's files with the regions each may hold.
pub(super) struct Pieces(Vec<(Option<(String, String)>, Piece)>);

impl Pieces {
    pub fn of(snapshot: &Snapshot) -> Self {
        let kind = |name: &str| snapshot.schema().field_with_name(name).map(|f| f.data_type().clone()).ok();
        let (region, day) = (kind("region_id"), kind("day"));
        let piece = |file: &Arc<DataFile>| {
            let days = bounds(file, "day", day.as_ref()).and_then(days);
            (
                bounds(file, "region_id", region.as_ref()).and_then(texts),
                Piece { file: Arc::clone(file), days },
            )
        };
        Self(snapshot.files().iter().map(piece).collect())
    }

    /// The files that may hold rows of the region.
    pub fn of_region(&self, region: &RegionId) -> Vec<Piece> {
        let may = |bounds: &Option<(String, String)>| {
            bounds.as_ref().is_none_or(|(min, max)| (min.as_str()..=max.as_str()).contains(&region.as_str()))
        };
        self.0.iter().filter(|(bounds, _)| may(bounds)).map(|(_, piece)| piece.clone()).collect()
    }
}

/// The days outside of which nothing differs between two lists of a region's files; empty where nothing does, `None` where
/// a file that only one has does not tell its days.
pub(super) fn changed(before: &[Piece], after: &[Piece]) -> Option<RangeInclusive<i32>> {
    let has = |all: &[Piece], one: &Piece| all.iter().any(|piece| piece.file.path == one.file.path);
    let gone = before.iter().filter(|piece| !has(after, piece));
    let come = after.iter().filter(|piece| !has(before, piece));
    let nothing = RangeInclusive::new(i32::MAX, i32::MIN);
    gone.chain(come).try_fold(nothing, |range, piece| {
        let (first, last) = piece.days?;
        Some(first.min(*range.start())..=last.max(*range.end()))
    })
}

fn bounds(file: &DataFile, column: &str, kind: Option<&DataType>) -> Option<(ScalarValue, ScalarValue)> {
    Some((file.min(column, kind?)?, file.max(column, kind?)?))
}

fn days(bounds: (ScalarValue, ScalarValue)) -> Option<(i32, i32)> {
    match bounds {
        (ScalarValue::Date32(Some(first)), ScalarValue::Date32(Some(last))) => Some((first, last)),
        _ => None,
    }
}

fn texts((min, max): (ScalarValue, ScalarValue)) -> Option<(String, String)> {
    Some((min.try_as_str()??.to_owned(), max.try_as_str()??.to_owned()))
}
