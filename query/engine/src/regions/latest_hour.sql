-- The newest hour since $2 of the region $1, or of each region where $1 is null.
-- `hours` is weather.hourly at the pinned version.
SELECT region_id,
       max(time) AS time,
       CAST(last_value(air_temperature ORDER BY time) AS DOUBLE) AS air_temperature
FROM hours
WHERE ($1 IS NULL OR region_id = $1) AND time >= $2
GROUP BY region_id
