/*---
table = "weather.forecast_daily"
key = ["region_id", "day"]
window = "region_day"
# An issue speaks of the week after it, and its UTC day may end in the next local one.
lookback_days = 8

[tests]
not_null = ["region_id", "day", "issued_at", "hours"]
between = { hours = [1, 25] }
---*/
-- Each hour by the newest issue that speaks of it, so that the hours of today that are over do not drop out of their day;
-- a day that is over keeps what was said of it last.
WITH newest AS (
    SELECT region_id, valid_at, max(issued_at) AS issued_at
    FROM weather.forecast
    GROUP BY region_id, valid_at
)
SELECT
    newest.region_id,
    local_day(newest.valid_at, regions.timezone) AS day,
    max(newest.issued_at) AS issued_at,
    avg(forecast.air_temperature) AS air_temperature_mean,
    min(forecast.air_temperature) AS air_temperature_min,
    max(forecast.air_temperature) AS air_temperature_max,
    sum(forecast.precipitation_amount) AS precipitation_sum,
    avg(forecast.wind_speed) AS wind_speed_mean,
    avg(forecast.relative_humidity) AS relative_humidity_mean,
    count(*) AS hours
FROM newest
JOIN geo.regions AS regions ON regions.region_id = newest.region_id
JOIN weather.forecast AS forecast
    ON forecast.region_id = newest.region_id AND forecast.valid_at = newest.valid_at AND forecast.issued_at = newest.issued_at
WHERE regions.timezone IS NOT NULL
GROUP BY newest.region_id, local_day(newest.valid_at, regions.timezone)
