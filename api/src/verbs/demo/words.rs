//! What the demo tells the person who started it.
#![expect(clippy::print_stdout, reason = "these are the words of the demo")]

use std::path::Path;
use std::time::Duration;

use super::keys::Written;

/// Loading has ended.
pub fn loaded(took: Duration) {
    println!("The lake is loaded ({:.1} s).", took.as_secs_f64());
}

/// Where to go, and what to try.
pub fn welcome(written: &Written, folder: &Path) {
    let (url, folder) = (&written.url, folder.display());
    let key = written.customers.first().map(|customer| customer.api_key.as_str()).unwrap_or_default();
    println!(
        r#"
Lakefront is ready at {url}
  documentation   {url}/docs/index.html
  keys            {folder}/demo.json (customers acme and globex, and the operator)
  beside it       lakefront status --config {folder}/lakefront.toml

Try, with acme's key:
  export KEY={key}
  auth="Authorization: Bearer $KEY"

  # 1. how is a region?
  curl -sH "$auth" "{url}/v1/regions?limit=3"
  curl -sH "$auth" "{url}/v1/regions/it-lombardia/summary?window=7d"

  # 2. its years, by month
  curl -sH "$auth" "{url}/v1/regions/it-lombardia/weather?grain=month&from=2020-01-01&format=csv"

  # 3. an analysis by name
  curl -sH "$auth" -X PUT -H "Content-Type: application/json" "{url}/v1/analyses/hot_days" \
    -d '{{"kind": "table", "sql": "SELECT region_id, count(*) AS days FROM weather.daily WHERE air_temperature_max > 30 GROUP BY region_id"}}'
  curl -sH "$auth" "{url}/v1/tables/my/hot_days/rows?order=days.desc&limit=5"

  # 4. a file of your own, joined with the lake
  printf 'region_id,day,sold\nit-lombardia,2026-01-01,12\nit-lombardia,2026-01-02,7\n' > sales.csv
  curl -sH "$auth" -F name=sales -F file=@sales.csv "{url}/v1/datasets"
  curl -sH "$auth" -H "Content-Type: application/json" "{url}/v1/sql" \
    -d '{{"sql": "SELECT s.*, w.air_temperature_mean, a.visits FROM my.sales s JOIN weather.daily w USING (region_id, day) LEFT JOIN source_a.activity a USING (region_id, day)"}}'

Ctrl-C ends it; the same command continues it."#
    );
}
