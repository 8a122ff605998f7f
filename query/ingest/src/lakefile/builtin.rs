//! The default lake's files, built into the binary.

pub const LAKE: &str = include_str!("../../../../deploy/lakes/weather-market/lake.toml");
pub const REGIONS: &str = include_str!("../../../../deploy/lakes/weather-market/regions.csv");

/// (file name for messages, text), in the order of the folder.
pub const MODELS: &[(&str, &str)] = &[
    (
        "models/aggregated/market.daily.sql",
        include_str!("../../../../deploy/lakes/weather-market/models/aggregated/market.daily.sql"),
    ),
    (
        "models/aggregated/weather.daily.sql",
        include_str!("../../../../deploy/lakes/weather-market/models/aggregated/weather.daily.sql"),
    ),
    (
        "models/operational/geo.regions.sql",
        include_str!("../../../../deploy/lakes/weather-market/models/operational/geo.regions.sql"),
    ),
];
