//! Functions of our own, for models and customers alike.

mod likeness;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Offset, TimeZone};
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
    // Rows of one region and day follow each other: what is known of the row before nearly always holds for this one.
    let mut last: Option<(&str, Tz, LocalDate)> = None;
    let mut days = Date32Array::builder(instants.len());
    for row in 0..instants.len() {
        if instants.is_null(row) || zones.is_null(row) {
            days.append_null();
            continue;
        }
        let (name, instant) = (zones.value(row), instants.value(row));
        let known = last.filter(|(known, ..)| *known == name);
        if let Some((_, _, date)) = known.filter(|(.., date)| date.has(instant)) {
            days.append_value(date.day);
            continue;
        }
        let zone = known.map_or_else(|| zone(name), |(_, zone, _)| Ok(zone))?;
        let date = LocalDate::of(instant, zone);
        last = date.map(|date| (name, zone, date));
        days.append_option(date.map(|date| date.day));
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

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// A local day and the instants, in microseconds, that are known to lie in it.
#[derive(Clone, Copy)]
struct LocalDate {
    /// Since 1970-01-01.
    day: i32,
    from: i64,
    until: i64,
}

impl LocalDate {
    /// The day of an instant; `None` outside the calendar.
    fn of(instant: i64, zone: Tz) -> Option<Self> {
        let ahead = offset(instant, zone)?;
        let day = instant.checked_add(ahead)?.div_euclid(DAY);
        let from = day.checked_mul(DAY)?.checked_sub(ahead)?;
        let until = from.checked_add(DAY)?;
        // No zone has ever changed its clocks twice within three days: equal at both ends is equal all day.
        let even = offset(from, zone) == Some(ahead) && offset(until - 1, zone) == Some(ahead);
        let (from, until) = if even { (from, until) } else { (instant, instant + 1) };
        Some(Self { day: i32::try_from(day).ok()?, from, until })
    }

    fn has(&self, instant: i64) -> bool {
        (self.from..self.until).contains(&instant)
    }
}

/// Microseconds that local time is ahead of UTC.
fn offset(instant: i64, zone: Tz) -> Option<i64> {
    let utc = DateTime::from_timestamp_micros(instant)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Date32Type;
    use chrono::{NaiveDate, Utc};

    fn day(instant: &str, zone: &str) -> NaiveDate {
        let micros = instant.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        Date32Type::to_naive_date_opt(LocalDate::of(micros, zone.parse().unwrap()).unwrap().day).unwrap()
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

    #[test]
    fn rows_that_follow_each_other_have_the_days_that_each_has_alone() {
        // Clocks that change at midnight, by half an hour, over a whole day, and twice within a month.
        let zones =
            ["America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Gaza"];
        let begin = "2009-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
        for name in zones {
            let zone: Tz = name.parse().unwrap();
            let instants: Vec<i64> = (0..4 * 365 * 48).map(|n| begin + n * 1_800 - 1).collect();
            let alone = instants.iter().map(|at| {
                let local = DateTime::from_timestamp(*at, 0).unwrap().with_timezone(&zone);
                Date32Type::from_naive_date(local.date_naive())
            });
            let micros =
                TimestampMicrosecondArray::from_iter_values(instants.iter().map(|at| at * 1_000_000));
            let names = StringArray::from_iter_values(instants.iter().map(|_| name));
            let together = days(&(Arc::new(micros) as ArrayRef), &(Arc::new(names) as ArrayRef)).unwrap();
            assert!(together.as_primitive::<Date32Type>().values().iter().copied().eq(alone), "{name}");
        }
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
