//! The default lake's files, built into the binary.

pub const LAKE: &str = include_str!("../../../../deploy/lakes/weather-market/lake.toml");
pub const REGIONS: &str = include_str!("../../../../deploy/lakes/weather-market/regions.csv");

/// A model of the default lake: its file's name for messages, and its text.
macro_rules! model {
    ($file:literal) => {
        (
            concat!("models/", $file),
            include_str!(concat!("../../../../deploy/lakes/weather-market/models/", $file)),
        )
    };
}

/// Every mapping: its file's name, and its text.
pub const MAPPINGS: &[(&str, &str)] = &[(
    "mappings/geo.aliases.csv",
    include_str!("../../../../deploy/lakes/weather-market/mappings/geo.aliases.csv"),
)];

/// Every model, in the order of the folder.
pub const MODELS: &[(&str, &str)] = &[
    model!("aggregated/market.daily.sql"),
    model!("aggregated/market.monthly.sql"),
    model!("aggregated/market.rolling.sql"),
    model!("aggregated/weather.daily.sql"),
    model!("aggregated/weather.forecast_daily.sql"),
    model!("aggregated/weather.monthly.sql"),
    model!("aggregated/weather.rolling.sql"),
    model!("operational/geo.facts.sql"),
    model!("operational/geo.regions.sql"),
];
