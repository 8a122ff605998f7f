/*---
table = "market.daily"
key = ["region_id", "day"]
window = "region_day"
lookback_days = 0
# A file of events is looked at once: what it gives is kept, and a batch of events costs the same at any hour of the day.
partials = "market.events"

[tests]
not_null = ["region_id", "day", "events", "origin"]
accepted = { origin = ["events", "history"] }
---*/
-- A local day comes from its events; a day before the stream began comes from the history files.
-- A history without a count of events has 0.
-- A region whose point is not known yet has its days in UTC until it is.
WITH partials AS (
    SELECT
        events.region_id,
        local_day(events.event_time, coalesce(regions.timezone, 'UTC')) AS day,
        first_value(events.price ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS price_open,
        first_value(events.event_time ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS opened_at,
        first_value(events.event_id ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS opened_by,
        max(events.price) AS price_high,
        min(events.price) AS price_low,
        last_value(events.price ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS price_close,
        last_value(events.event_time ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS closed_at,
        last_value(events.event_id ORDER BY events.event_time, events.event_id) FILTER (WHERE events.price IS NOT NULL) AS closed_by,
        sum(events.price) AS price_sum,
        count(events.price) AS prices,
        sum(events.interest) AS interest_sum,
        count(events.interest) AS interests,
        count(*) AS events
    FROM market.events AS events
    LEFT JOIN geo.regions AS regions ON regions.region_id = events.region_id
    GROUP BY events.region_id, local_day(events.event_time, coalesce(regions.timezone, 'UTC'))
),
streamed AS (
    SELECT
        region_id,
        day,
        first_value(price_open ORDER BY opened_at, opened_by) FILTER (WHERE price_open IS NOT NULL) AS price_open,
        max(price_high) AS price_high,
        min(price_low) AS price_low,
        last_value(price_close ORDER BY closed_at, closed_by) FILTER (WHERE price_close IS NOT NULL) AS price_close,
        sum(price_sum) / sum(prices) AS price_mean,
        sum(interest_sum) / sum(interests) AS interest_mean,
        sum(events) AS events
    FROM partials
    GROUP BY region_id, day
)
SELECT
    coalesce(streamed.region_id, history.region_id) AS region_id,
    coalesce(streamed.day, history.day) AS day,
    CASE WHEN streamed.day IS NULL THEN history.price_open ELSE streamed.price_open END AS price_open,
    CASE WHEN streamed.day IS NULL THEN history.price_high ELSE streamed.price_high END AS price_high,
    CASE WHEN streamed.day IS NULL THEN history.price_low ELSE streamed.price_low END AS price_low,
    CASE WHEN streamed.day IS NULL THEN history.price_close ELSE streamed.price_close END AS price_close,
    CASE WHEN streamed.day IS NULL THEN history.price_mean ELSE streamed.price_mean END AS price_mean,
    CASE WHEN streamed.day IS NULL THEN history.interest_mean ELSE streamed.interest_mean END AS interest_mean,
    coalesce(streamed.events, history.events, 0) AS events,
    CASE WHEN streamed.day IS NULL THEN 'history' ELSE 'events' END AS origin
FROM streamed
FULL JOIN market.history AS history ON history.region_id = streamed.region_id AND history.day = streamed.day
