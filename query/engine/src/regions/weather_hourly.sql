-- Hours of weather of the region $1 in [$2, $3), oldest first. `hours` is weather.hourly at the pinned version.
SELECT region_id,
       time,
       CAST(air_temperature AS DOUBLE) AS air_temperature,
       CAST(precipitation_amount AS DOUBLE) AS precipitation_amount,
       CAST(wind_speed AS DOUBLE) AS wind_speed,
       CAST(relative_humidity AS DOUBLE) AS relative_humidity
FROM hours
WHERE region_id = $1 AND time >= $2 AND time < $3
ORDER BY time
