/*---
table = "market.daily"
key = ["region_id", "day"]
window = "region_day"
lookback_days = 0

[tests]
not_null = ["region_id", "day", "events", "origin"]
accepted = { origin = ["events", "history"] }
---*/
-- A local day comes from its events; a day before the stream began comes from the history files.
-- A history without a count of events has 0.
-- A region whose point is not known yet has its days in UTC until it is.
WITH streamed AS (
    SELECT
        events.region_id,
        local_day(events.event_time, coalesce(regions.timezone, 'UTC')) AS day,
        first_value(events.price ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS price_open,
        max(events.price) AS price_high,
        min(events.price) AS price_low,
        last_value(events.price ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS price_close,
        avg(events.price) AS price_mean,
        avg(events.interest) AS interest_mean,
        count(*) AS events
    FROM market.events AS events
    LEFT JOIN geo.regions AS regions ON regions.region_id = events.region_id
    GROUP BY events.region_id, local_day(events.event_time, coalesce(regions.timezone, 'UTC'))
)
SELECT
    region_id, day, price_open, price_high, price_low, price_close, price_mean, interest_mean, events, 'events' AS origin
FROM streamed
UNION ALL
SELECT
    history.region_id, history.day, history.price_open, history.price_high, history.price_low, history.price_close,
    history.price_mean, history.interest_mean, coalesce(history.events, 0) AS events, 'history' AS origin
FROM market.history AS history
LEFT ANTI JOIN streamed ON streamed.region_id = history.region_id AND streamed.day = history.day
