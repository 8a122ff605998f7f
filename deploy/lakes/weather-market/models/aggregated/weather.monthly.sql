/*---
table = "weather.monthly"
key = ["region_id", "month"]
window = "region_month"

[tests]
not_null = ["region_id", "month", "days"]
between = { days = [1, 31], relative_humidity_mean = [0, 105] }
---*/
-- A month's means are means of its days, each day weighing the same; `days` tells how many there are.
SELECT
    region_id,
    CAST(date_trunc('month', day) AS DATE) AS month,
    avg(air_temperature_mean) AS air_temperature_mean,
    min(air_temperature_min) AS air_temperature_min,
    max(air_temperature_max) AS air_temperature_max,
    sum(precipitation_sum) AS precipitation_sum,
    avg(wind_speed_mean) AS wind_speed_mean,
    avg(relative_humidity_mean) AS relative_humidity_mean,
    count(*) AS days,
    sum(hours) AS hours
FROM weather.daily
GROUP BY region_id, CAST(date_trunc('month', day) AS DATE)
