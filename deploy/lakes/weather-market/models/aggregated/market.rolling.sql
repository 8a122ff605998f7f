/*---
table = "market.rolling"
key = ["region_id", "day"]
window = "region_day"
# A day's row rests on the 29 days before it.
lookback_days = 29

[tests]
not_null = ["region_id", "day", "days_7d", "days_30d"]
between = { days_7d = [1, 7], days_30d = [1, 30] }
---*/
-- The 7 and the 30 local days that end with each day that has data; each of them weighs the same, one without data is
-- left out, and `days_…` tells how many there are.
SELECT
    region_id, day,
    max_of_days(price_high, day, 7) OVER region AS price_high_7d,
    min_of_days(price_low, day, 7) OVER region AS price_low_7d,
    mean_of_days(price_mean, day, 7) OVER region AS price_mean_7d,
    mean_of_days(interest_mean, day, 7) OVER region AS interest_mean_7d,
    sum_of_days(events, day, 7) OVER region AS events_7d,
    count_of_days(1, day, 7) OVER region AS days_7d,
    max_of_days(price_high, day, 30) OVER region AS price_high_30d,
    min_of_days(price_low, day, 30) OVER region AS price_low_30d,
    mean_of_days(price_mean, day, 30) OVER region AS price_mean_30d,
    mean_of_days(interest_mean, day, 30) OVER region AS interest_mean_30d,
    sum_of_days(events, day, 30) OVER region AS events_30d,
    count_of_days(1, day, 30) OVER region AS days_30d
FROM market.daily
WINDOW region AS (PARTITION BY region_id ORDER BY day)
