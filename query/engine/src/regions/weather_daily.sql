-- Days of weather, oldest first: of the region $1, or of all regions where $1 is null; from $2 to $3, where they are not null.
-- `days` is weather.daily at the pinned version.
SELECT region_id,
       day,
       CAST(air_temperature_mean AS DOUBLE) AS air_temperature_mean,
       CAST(air_temperature_min AS DOUBLE) AS air_temperature_min,
       CAST(air_temperature_max AS DOUBLE) AS air_temperature_max,
       CAST(precipitation_sum AS DOUBLE) AS precipitation_sum,
       CAST(wind_speed_mean AS DOUBLE) AS wind_speed_mean,
       CAST(relative_humidity_mean AS DOUBLE) AS relative_humidity_mean,
       CAST(hours AS BIGINT) AS hours,
       CAST(origin AS VARCHAR) AS origin
FROM days
WHERE ($1 IS NULL OR region_id = $1) AND ($2 IS NULL OR day >= $2) AND ($3 IS NULL OR day <= $3)
ORDER BY region_id, day
