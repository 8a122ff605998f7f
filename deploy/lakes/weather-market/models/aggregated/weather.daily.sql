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
        count(*) AS hours,
        count(*) >= 20 AS enough
    FROM weather.hourly AS hours
    JOIN geo.regions AS regions ON regions.region_id = hours.region_id
    WHERE regions.timezone IS NOT NULL
      AND coalesce(hours.air_temperature, hours.precipitation_amount, hours.wind_speed, hours.relative_humidity) IS NOT NULL
    GROUP BY hours.region_id, local_day(hours.time, regions.timezone)
)
SELECT
    coalesce(hourly.region_id, archive.region_id) AS region_id,
    coalesce(hourly.day, archive.day) AS day,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.air_temperature_mean ELSE archive.air_temperature_mean END AS air_temperature_mean,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.air_temperature_min ELSE archive.air_temperature_min END AS air_temperature_min,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.air_temperature_max ELSE archive.air_temperature_max END AS air_temperature_max,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.precipitation_sum ELSE archive.precipitation_sum END AS precipitation_sum,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.wind_speed_mean ELSE archive.wind_speed_mean END AS wind_speed_mean,
    CASE WHEN enough OR archive.day IS NULL THEN hourly.relative_humidity_mean ELSE archive.relative_humidity_mean END AS relative_humidity_mean,
    CASE WHEN enough OR archive.day IS NULL THEN hours ELSE 0 END AS hours,
    CASE WHEN enough OR archive.day IS NULL THEN 'hours' ELSE 'archive' END AS origin
FROM hourly
FULL JOIN weather.archive AS archive ON archive.region_id = hourly.region_id AND archive.day = hourly.day
