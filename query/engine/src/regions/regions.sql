-- All regions by id. `regions` is geo.regions at the pinned version.
SELECT CAST(region_id AS VARCHAR) AS region_id,
       CAST(name AS VARCHAR) AS name,
       CAST(country AS VARCHAR) AS country,
       CAST(lon AS DOUBLE) AS lon,
       CAST(lat AS DOUBLE) AS lat,
       CAST(timezone AS VARCHAR) AS timezone,
       CAST(population AS BIGINT) AS population,
       CAST(status AS VARCHAR) AS status
FROM regions
ORDER BY region_id
