//! Functions of our own, for models and customers alike.

mod likeness;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `local_day(timestamp, timezone) -> date`: the calendar day that an instant falls on in an IANA time zone.
/// A timestamp without a zone is UTC. Null in, null out; an unknown zone is an error of the query.
pub fn local_day() -> Arc<ScalarUDF> {
    static LOCAL_DAY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(LocalDay::new())));
    Arc::clone(&LOCAL_DAY)
}

/// Every function of ours.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    [local_day()].into_iter().chain(likeness::all()).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalDay {
    signature: Signature,
}

impl LocalDay {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &str {
        "local_day"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Date32, Date64, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
        match arguments {
            [
                Timestamp(..) | Date32 | Date64 | Utf8 | Utf8View | Null,
                Utf8 | LargeUtf8 | Utf8View | Null | DataType::Dictionary(..),
            ] => Ok(vec![utc_micros(), Utf8]),
            _ => plan_err!("local_day takes a timestamp and the name of a time zone"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [instants, zones] = arguments.args.as_slice() else {
            return exec_err!("local_day takes two arguments");
        };
        let rows = arguments.number_rows;
        let days = days(&instants.to_array(rows)?, &zones.to_array(rows)?)?;
        Ok(ColumnarValue::Array(days))
    }
}

fn days(instants: &ArrayRef, zones: &ArrayRef) -> Result<ArrayRef> {
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    let zones = zones.as_string::<i32>();
    // Rows of one region follow each other: the zone of the row before is nearly always the zone of this one.
    let mut last: Option<(&str, Tz)> = None;
    let mut days = Date32Array::builder(instants.len());
    for row in 0..instants.len() {
        if instants.is_null(row) || zones.is_null(row) {
            days.append_null();
            continue;
        }
        let name = zones.value(row);
        let zone = match last {
            Some((known, zone)) if known == name => zone,
            _ => zone(name)?,
        };
        last = Some((name, zone));
        match day_of(instants.value(row), zone) {
            Some(day) => days.append_value(day),
            None => days.append_null(),
        }
    }
    Ok(Arc::new(days.finish()))
}

fn zone(name: &str) -> Result<Tz> {
    match name.parse() {
        Ok(zone) => Ok(zone),
        Err(_) => {
            exec_err!("local_day: no time zone is called '{}'", name.chars().take(64).collect::<String>())
        }
    }
}

/// Days since 1970-01-01 of the local day; `None` outside the calendar.
fn day_of(micros: i64, zone: Tz) -> Option<i32> {
    let instant = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&instant).fix();
    let local: NaiveDate = instant.checked_add_offset(offset)?.date();
    Some(Date32Type::from_naive_date(local))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    fn day(instant: &str, zone: &str) -> NaiveDate {
        let micros = instant.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        Date32Type::to_naive_date_opt(day_of(micros, zone.parse().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_day_is_the_regions_own() {
        let ny = "America/New_York";
        assert_eq!(day("2013-01-01T04:59:59Z", ny), NaiveDate::from_ymd_opt(2012, 12, 31).unwrap());
        assert_eq!(day("2013-01-01T05:00:00Z", ny), NaiveDate::from_ymd_opt(2013, 1, 1).unwrap());
        assert_eq!(day("2013-07-01T03:59:59Z", ny), NaiveDate::from_ymd_opt(2013, 6, 30).unwrap());
        assert_eq!(day("2013-07-01T04:00:00Z", ny), NaiveDate::from_ymd_opt(2013, 7, 1).unwrap());
        assert_eq!(
            day("2013-01-01T10:00:00Z", "Pacific/Kiritimati"),
            NaiveDate::from_ymd_opt(2013, 1, 2).unwrap()
        );
    }

    #[tokio::test]
    async fn sql_can_use_it_and_a_bad_zone_is_an_error() {
        let ctx = datafusion::prelude::SessionContext::new();
        ctx.register_udf(local_day().as_ref().clone());
        let good =
            "select local_day(timestamp '2020-03-29T23:30:00', 'Europe/Rome') d, local_day(null, 'UTC') n";
        let rows = ctx.sql(good).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
        assert!(text.contains("2020-03-30"), "{text}");
        let bad = ctx.sql("select local_day(now(), 'Mars/Base')").await;
        let failed = match bad {
            Ok(frame) => frame.collect().await.is_err(),
            Err(_) => true,
        };
        assert!(failed);
    }
}
