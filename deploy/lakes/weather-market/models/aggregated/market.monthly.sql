/*---
table = "market.monthly"
key = ["region_id", "month"]
window = "region_month"

[tests]
not_null = ["region_id", "month", "days", "events"]
between = { days = [1, 31] }
---*/
-- A month's means are means of its days, each day weighing the same; it opens with its first day and closes with its last.
SELECT
    region_id,
    CAST(date_trunc('month', day) AS DATE) AS month,
    first_value(price_open ORDER BY day) FILTER (WHERE price_open IS NOT NULL) AS price_open,
    max(price_high) AS price_high,
    min(price_low) AS price_low,
    last_value(price_close ORDER BY day) FILTER (WHERE price_close IS NOT NULL) AS price_close,
    avg(price_mean) AS price_mean,
    avg(interest_mean) AS interest_mean,
    count(*) AS days,
    sum(events) AS events
FROM market.daily
GROUP BY region_id, CAST(date_trunc('month', day) AS DATE)
