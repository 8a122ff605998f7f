/*---
table = "geo.facts"
key = ["region_id", "day"]
window = "region_day"
# A profile holds until the region's next one.
carried = ["source_b.profile"]

[tests]
not_null = ["region_id", "day"]
---*/
-- All that is known of a region and a local day, where any of weather, market and source A is; source B as it was valid then.
-- Each source fills columns of its own and has a day once: `max` puts their rows together, and no join of all days is needed.
WITH known AS (
    SELECT
        region_id, day, air_temperature_mean, air_temperature_min, air_temperature_max, precipitation_sum,
        wind_speed_mean, relative_humidity_mean, NULL AS price_close, NULL AS price_mean, NULL AS interest_mean,
        NULL AS events, NULL AS activity_index, NULL AS visits
    FROM weather.daily
    UNION ALL
    SELECT
        region_id, day, NULL, NULL, NULL, NULL, NULL, NULL, price_close, price_mean, interest_mean, events, NULL, NULL
    FROM market.daily
    UNION ALL
    SELECT
        region_id, day, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, activity_index, visits
    FROM source_a.activity
),
facts AS (
    SELECT
        region_id, day,
        max(air_temperature_mean) AS air_temperature_mean,
        max(air_temperature_min) AS air_temperature_min,
        max(air_temperature_max) AS air_temperature_max,
        max(precipitation_sum) AS precipitation_sum,
        max(wind_speed_mean) AS wind_speed_mean,
        max(relative_humidity_mean) AS relative_humidity_mean,
        max(price_close) AS price_close,
        max(price_mean) AS price_mean,
        max(interest_mean) AS interest_mean,
        max(events) AS events,
        max(activity_index) AS activity_index,
        max(visits) AS visits
    FROM known
    GROUP BY region_id, day
),
-- Profiles and days in one order: the newest one up to each day is that day's.
dated AS (
    SELECT facts.*, 1 AS is_day, CAST(NULL AS DATE) AS valid_from FROM facts
    UNION ALL
    SELECT
        region_id, valid_from AS day, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        0 AS is_day, valid_from
    FROM source_b.profile
),
profiled AS (
    SELECT
        dated.*, newest(valid_from) OVER (PARTITION BY region_id ORDER BY day, is_day) AS profile_valid_from
    FROM dated
)
SELECT
    profiled.region_id, profiled.day,
    profiled.air_temperature_mean, profiled.air_temperature_min, profiled.air_temperature_max,
    profiled.precipitation_sum, profiled.wind_speed_mean, profiled.relative_humidity_mean,
    profiled.price_close, profiled.price_mean, profiled.interest_mean, profiled.events,
    profiled.activity_index, profiled.visits,
    profile.households, profile.income_index, profiled.profile_valid_from
FROM profiled
LEFT JOIN source_b.profile AS profile
    ON profile.region_id = profiled.region_id AND profile.valid_from = profiled.profile_valid_from
WHERE profiled.is_day = 1
