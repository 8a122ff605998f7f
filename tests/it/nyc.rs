//! A server whose lake is three airports of New York, fed by a stub that replays their real hours of 2013.

use std::path::Path;

use harness::{Options, Stack, Station, TestApp, WeatherStub, read_stations};

use crate::lakes::lake;
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

/// Has the lake ask for the hours and days of `[from, to]`.
pub fn backfill(app: &TestApp, from: &str, to: &str) {
    let call = || app.verb(&["backfill", "c", "--from", from, "--to", to]);
    let mut output = call();
    // beside a server that writes, on a busy machine: to be tried again, as its exit code says
    for _ in 0..5 {
        if output.status.code() == Some(75) {
            output = call();
        }
    }
    assert!(
        output.status.success(),
        "backfill: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The default lake over the three airports, asking the stub.
pub fn with_lake(stack: Stack, stub: &str) -> Options {
    let folder = lake(AIRPORTS, |definition| asking(stub, definition));
    Options { lake_file: Some(folder), sources: true, ..options(stack) }
}

/// A lake's definition whose weather comes from the stub.
pub fn asking(stub: &str, definition: String) -> String {
    definition
        .replace("https://api.open-meteo.com", stub)
        .replace("https://archive-api.open-meteo.com", stub)
        .replace("pause_ms = 200", "pause_ms = 0\nallow_private = true")
}
