-- Days of market, oldest first: of the region $1, or of all regions where $1 is null; from $2 to $3, where they are not null.
-- `days` is market.daily at the pinned version.
SELECT region_id,
       day,
       CAST(price_open AS DOUBLE) AS price_open,
       CAST(price_high AS DOUBLE) AS price_high,
       CAST(price_low AS DOUBLE) AS price_low,
       CAST(price_close AS DOUBLE) AS price_close,
       CAST(price_mean AS DOUBLE) AS price_mean,
       CAST(interest_mean AS DOUBLE) AS interest_mean,
       CAST(events AS BIGINT) AS events,
       CAST(origin AS VARCHAR) AS origin
FROM days
WHERE ($1 IS NULL OR region_id = $1) AND ($2 IS NULL OR day >= $2) AND ($3 IS NULL OR day <= $3)
ORDER BY region_id, day
