/*---
table = "geo.regions"
key = ["region_id"]
window = "region"
# An active region has its point: later events do not move it, so it is not computed again for each of them.
settled = "status = 'active'"

[tests]
not_null = ["region_id", "name", "status"]
accepted = { status = ["active", "pending"] }
between = { lon = [-180, 180], lat = [-90, 90] }
---*/
-- The lake's own regions, and those that an event named first. A point comes from the gazetteer, else from the
-- first event that has one; without a point there is no time zone, and the region is pending.
WITH seen AS (
    SELECT
        region_id,
        first_value(lon ORDER BY event_time, event_id) FILTER (WHERE zone_at(lon, lat) IS NOT NULL) AS lon,
        first_value(lat ORDER BY event_time, event_id) FILTER (WHERE zone_at(lon, lat) IS NOT NULL) AS lat
    FROM market.events
    GROUP BY region_id
),
listed AS (
    SELECT region_id FROM lake.gazetteer WHERE chosen
    UNION
    SELECT region_id FROM seen
),
placed AS (
    SELECT
        listed.region_id,
        coalesce(known.name, listed.region_id) AS name,
        known.country,
        coalesce(known.lon, seen.lon) AS lon,
        coalesce(known.lat, seen.lat) AS lat,
        known.population
    FROM listed
    LEFT JOIN lake.gazetteer AS known ON known.region_id = listed.region_id
    LEFT JOIN seen ON seen.region_id = listed.region_id
)
SELECT
    region_id, name, country, lon, lat,
    zone_at(lon, lat) AS timezone,
    population,
    CASE WHEN zone_at(lon, lat) IS NULL THEN 'pending' ELSE 'active' END AS status
FROM placed
