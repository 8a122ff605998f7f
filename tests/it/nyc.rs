//! A server whose lake is three airports of New York, fed by a stub that replays their real hours of 2013.

use std::path::Path;

use harness::{Options, Stack, Station, TestApp, WeatherStub, project_root, read_stations};

use crate::shared::options;

/// Region of the lake, name in the file, latitude and longitude.
pub const AIRPORTS: [(&str, &str, f64, f64); 3] = [
    ("us-ewr", "EWR", 40.6925, -74.1687),
    ("us-jfk", "JFK", 40.6398, -73.7789),
    ("us-lga", "LGA", 40.7772, -73.8726),
];

/// The airports' hours as a CSV file has them.
pub fn stations(file: &Path) -> Vec<Station> {
    let places = AIRPORTS.map(|(_, name, lat, lon)| (name, lat, lon));
    read_stations(file, &places).unwrap()
}

/// Starts stub and server, and fills the lake's archive of `[from, to)`.
pub async fn start(
    stack: Stack,
    stations: Vec<Station>,
    from: &str,
    to: &str,
) -> Option<(TestApp, WeatherStub)> {
    let stub = WeatherStub::start(stations).unwrap();
    let app = TestApp::start(with_lake(stack, &stub.url)).await?;
    backfill(&app, from, to);
    followed().await;
    Some((app, stub))
}

/// Waits until the server has seen what another process committed: a second, and a little.
pub async fn followed() {
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
}

fn backfill(app: &TestApp, from: &str, to: &str) {
    let output = app.verb(&["backfill", "c", "--from", from, "--to", to]);
    assert!(
        output.status.success(),
        "backfill: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The default lake over the three airports, asking the stub.
fn with_lake(stack: Stack, stub: &str) -> Options {
    let folder = tempfile::Builder::new().prefix("lakefront-lake-").tempdir().unwrap().keep();
    copy(&project_root().join("deploy/lakes/weather-market"), &folder);
    let lake = std::fs::read_to_string(folder.join("lake.toml")).unwrap();
    let lake = lake
        .replace("https://api.open-meteo.com", stub)
        .replace("https://archive-api.open-meteo.com", stub)
        .replace("pause_ms = 200", "pause_ms = 0\nallow_private = true");
    std::fs::write(folder.join("lake.toml"), lake).unwrap();
    let regions = AIRPORTS.iter().fold(
        String::from("region_id,name,country,lon,lat,population\n"),
        |csv, (region, name, lat, lon)| csv + &format!("{region},{name},US,{lon},{lat},1000000\n"),
    );
    std::fs::write(folder.join("regions.csv"), regions).unwrap();
    Options { lake_file: Some(folder), sources: true, ..options(stack) }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
