//! Parameters of series. Weather and market take the same, but for the words of `grain`: a macro writes both, so that the
//! document lists for each what it takes.

use engine::regions::{self, Bound, Of, SeriesQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::series::{Grain, MarketGrain};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::RowFormat;

macro_rules! parameters {
    ($one:ident, $many:ident, $grain:ident, $parse:path) => {
        /// Of a series whose region stands in the path.
        #[derive(Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $one {
            /// First day (`2026-01-31`) or instant; the beginning if absent.
            #[param(example = "2026-01-01")]
            pub from: Option<String>,
            /// Day or instant after the last; the end if absent.
            #[param(example = "2026-02-01")]
            pub to: Option<String>,
            /// `day` if absent.
            #[param(value_type = Option<$grain>, example = "month")]
            pub grain: Option<String>,
            /// Columns to answer, with commas between; all if absent.
            pub fields: Option<String>,
            /// What was known then.
            #[param(value_type = Option<DateTime<Utc>>)]
            pub as_of: Option<String>,
            /// Goes before `Accept`.
            #[param(value_type = Option<RowFormat>, example = "csv")]
            pub format: Option<String>,
            /// Whether CSV begins with a byte order mark, as Excel needs it.
            #[param(value_type = Option<bool>)]
            pub bom: Option<bool>,
        }

        /// The same over several regions.
        #[derive(Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $many {
            /// At most 1000 region ids, with commas between.
            #[param(required = true, min_length = 1, example = "it-lombardia,de-bayern")]
            pub regions: Option<String>,
            /// First day (`2026-01-31`) or instant; the beginning if absent.
            #[param(example = "2026-01-01")]
            pub from: Option<String>,
            /// Day or instant after the last; the end if absent.
            #[param(example = "2026-02-01")]
            pub to: Option<String>,
            /// `day` if absent.
            #[param(value_type = Option<$grain>, example = "month")]
            pub grain: Option<String>,
            /// Columns to answer, with commas between; all if absent.
            pub fields: Option<String>,
            /// What was known then.
            #[param(value_type = Option<DateTime<Utc>>)]
            pub as_of: Option<String>,
            /// Goes before `Accept`.
            #[param(value_type = Option<RowFormat>, example = "csv")]
            pub format: Option<String>,
            /// Whether CSV begins with a byte order mark, as Excel needs it.
            #[param(value_type = Option<bool>)]
            pub bom: Option<bool>,
        }

        impl $many {
            /// The named regions and the rest. Errors: `invalid-parameter` without `regions`.
            pub fn split(self) -> Result<(Of, $one), Problem> {
                let Self { regions, from, to, grain, fields, as_of, format, bom } = self;
                let regions = super::names(&regions.ok_or_else(no_regions)?)?;
                Ok((Of::Many(regions), $one { from, to, grain, fields, as_of, format, bom }))
            }
        }

        impl $one {
            /// The question. Errors: `invalid-parameter`, `invalid-period`.
            pub fn query(&self, regions: Of) -> Result<SeriesQuery, Problem> {
                Ok(SeriesQuery {
                    regions,
                    from: self.from.as_deref().map(|text| Bound::parse("from", text)).transpose()?,
                    to: self.to.as_deref().map(|text| Bound::parse("to", text)).transpose()?,
                    grain: self.grain.as_deref().map($parse).transpose()?.unwrap_or_default(),
                    fields: super::fields(self.fields.as_deref()),
                    as_of: super::as_of(self.as_of.as_deref())?,
                })
            }
        }
    };
}

parameters!(WeatherOfOne, WeatherOfMany, Grain, regions::Grain::parse);
parameters!(MarketOfOne, MarketOfMany, MarketGrain, regions::Grain::of_market);

fn no_regions() -> Problem {
    Problem::because(Kind::InvalidParameter, "`regions` is needed: region ids with commas between")
}
