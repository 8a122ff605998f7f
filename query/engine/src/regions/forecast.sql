-- The newest forecast of the region $1 among those issued since $2 and not after $3. `issues` is weather.forecast at the pinned version.
SELECT issued_at,
       valid_at,
       CAST(air_temperature AS DOUBLE) AS air_temperature,
       CAST(precipitation_amount AS DOUBLE) AS precipitation_amount,
       CAST(wind_speed AS DOUBLE) AS wind_speed,
       CAST(relative_humidity AS DOUBLE) AS relative_humidity
FROM (SELECT *, max(issued_at) OVER () AS newest
      FROM issues
      WHERE region_id = $1 AND issued_at >= $2 AND issued_at <= $3)
WHERE issued_at = newest
ORDER BY valid_at
