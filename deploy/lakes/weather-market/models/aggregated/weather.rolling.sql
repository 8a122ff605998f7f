/*---
table = "weather.rolling"
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
    mean_of_days(air_temperature_mean, day, 7) OVER region AS air_temperature_mean_7d,
    min_of_days(air_temperature_min, day, 7) OVER region AS air_temperature_min_7d,
    max_of_days(air_temperature_max, day, 7) OVER region AS air_temperature_max_7d,
    sum_of_days(precipitation_sum, day, 7) OVER region AS precipitation_sum_7d,
    mean_of_days(wind_speed_mean, day, 7) OVER region AS wind_speed_mean_7d,
    mean_of_days(relative_humidity_mean, day, 7) OVER region AS relative_humidity_mean_7d,
    count_of_days(1, day, 7) OVER region AS days_7d,
    mean_of_days(air_temperature_mean, day, 30) OVER region AS air_temperature_mean_30d,
    min_of_days(air_temperature_min, day, 30) OVER region AS air_temperature_min_30d,
    max_of_days(air_temperature_max, day, 30) OVER region AS air_temperature_max_30d,
    sum_of_days(precipitation_sum, day, 30) OVER region AS precipitation_sum_30d,
    mean_of_days(wind_speed_mean, day, 30) OVER region AS wind_speed_mean_30d,
    mean_of_days(relative_humidity_mean, day, 30) OVER region AS relative_humidity_mean_30d,
    count_of_days(1, day, 30) OVER region AS days_30d
FROM weather.daily
WINDOW region AS (PARTITION BY region_id ORDER BY day)
