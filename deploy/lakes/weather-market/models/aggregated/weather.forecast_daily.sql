/*---
table = "weather.forecast_daily"
key = ["region_id", "day"]
window = "region_day"
# An issue speaks of the week after it, and its UTC day may end in the next local one.
lookback_days = 8
# Of those issues only the hours of the days that are computed are read.
valid = { "weather.forecast" = "valid_at" }

[tests]
not_null = ["region_id", "day", "issued_at", "hours"]
between = { hours = [1, 25] }
---*/
-- Each hour by the newest issue that speaks of it, so that the hours of today that are over do not drop out of their day;
-- a day that is over keeps what was said of it last.
WITH newest AS (
    SELECT
        region_id, valid_at,
        max(issued_at) AS issued_at,
        last_value(air_temperature ORDER BY issued_at) AS air_temperature,
        last_value(precipitation_amount ORDER BY issued_at) AS precipitation_amount,
        last_value(wind_speed ORDER BY issued_at) AS wind_speed,
        last_value(relative_humidity ORDER BY issued_at) AS relative_humidity
    FROM weather.forecast
    GROUP BY region_id, valid_at
)
SELECT
    newest.region_id,
    local_day(newest.valid_at, regions.timezone) AS day,
    max(newest.issued_at) AS issued_at,
    avg(newest.air_temperature) AS air_temperature_mean,
    min(newest.air_temperature) AS air_temperature_min,
    max(newest.air_temperature) AS air_temperature_max,
    sum(newest.precipitation_amount) AS precipitation_sum,
    avg(newest.wind_speed) AS wind_speed_mean,
    avg(newest.relative_humidity) AS relative_humidity_mean,
    count(*) AS hours
FROM newest
JOIN geo.regions AS regions ON regions.region_id = newest.region_id
WHERE regions.timezone IS NOT NULL
GROUP BY newest.region_id, local_day(newest.valid_at, regions.timezone)
