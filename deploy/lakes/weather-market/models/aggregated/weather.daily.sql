/*---
table = "weather.daily"
key = ["region_id", "day"]
window = "region_day"
lookback_days = 0

[tests]
not_null = ["region_id", "day", "hours", "origin"]
accepted = { origin = ["hours", "archive"] }
between = { hours = [0, 25], relative_humidity_mean = [0, 105] }
---*/
-- A local day comes from its hours when 20 or more are there or nothing else is; else from the archive, and says so.
-- An hour without any value is no hour.
WITH hourly AS (
    SELECT
        hours.region_id,
        local_day(hours.time, regions.timezone) AS day,
        avg(hours.air_temperature) AS air_temperature_mean,
        min(hours.air_temperature) AS air_temperature_min,
        max(hours.air_temperature) AS air_temperature_max,
        sum(hours.precipitation_amount) AS precipitation_sum,
        avg(hours.wind_speed) AS wind_speed_mean,
        avg(hours.relative_humidity) AS relative_humidity_mean,
        count(*) AS hours
    FROM weather.hourly AS hours
    JOIN geo.regions AS regions ON regions.region_id = hours.region_id
    WHERE regions.timezone IS NOT NULL
      AND coalesce(hours.air_temperature, hours.precipitation_amount, hours.wind_speed, hours.relative_humidity) IS NOT NULL
    GROUP BY hours.region_id, local_day(hours.time, regions.timezone)
),
enough AS (
    SELECT hourly.*
    FROM hourly
    LEFT JOIN weather.archive AS archive ON archive.region_id = hourly.region_id AND archive.day = hourly.day
    WHERE hourly.hours >= 20 OR archive.region_id IS NULL
)
SELECT
    region_id, day, air_temperature_mean, air_temperature_min, air_temperature_max,
    precipitation_sum, wind_speed_mean, relative_humidity_mean, hours, 'hours' AS origin
FROM enough
UNION ALL
SELECT
    archive.region_id, archive.day, archive.air_temperature_mean, archive.air_temperature_min, archive.air_temperature_max,
    archive.precipitation_sum, archive.wind_speed_mean, archive.relative_humidity_mean, 0 AS hours, 'archive' AS origin
FROM weather.archive AS archive
LEFT ANTI JOIN enough ON enough.region_id = archive.region_id AND enough.day = archive.day
