//! What all sources of a lake bring in a number of rounds: the same for the same seed, whatever happens to the server.
//!
//! ```text
//! round ─▶ files of A (daily, corrected at times), B, history    into the inbox
//!       ─▶ events of D: new, repeated, out of order, days late   posted until they are acknowledged
//!       ─▶ a part of the weather's past                          `backfill`, until it has ended well
//! beside it: current hours and forecasts, as the server asks the stub
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use chrono::{DateTime, DurationRound, NaiveDate, TimeDelta, Utc};
use harness::{Contents, Customer, Options, Random, Stack, Station, TestApp, WeatherStub, project_root};
use serde_json::{Value, json};

use crate::lakes::lake;
use crate::nyc::{AIRPORTS, asking, stations};
use crate::shared::{options, spoken};

/// A region that the first events name, with its point; the stub knows its weather too.
const BORN: (&str, f64, f64) = ("us-bos", 42.3656, -71.0096);
/// One without a point, in later events.
const PENDING: &str = "us-sea";
/// Events of a round.
const EVENTS: u64 = 20;
/// How long everything may take to land once the last round is given.
const PATIENCE: Duration = Duration::from_secs(120);

/// The rounds' inputs and the service of the weather.
pub struct Feed {
    seed: u64,
    rounds: usize,
    /// The full hour at which all of it was made; nothing is measured after it.
    at: DateTime<Utc>,
    first_day: NaiveDate,
    lake_file: PathBuf,
    _stub: WeatherStub,
}

impl Feed {
    /// So many rounds over the hours of a real file, moved so that they end now.
    pub fn new(seed: u64, rounds: usize) -> Self {
        let at = Utc::now().duration_trunc(TimeDelta::hours(1)).unwrap();
        let stations = until(at, stations(&project_root().join("tests/data/nyc-hours.csv")));
        let first_day = stations[0].hours.keys().next().unwrap().date_naive();
        let stub = WeatherStub::start_foreseeing(stations, Duration::from_millis(20)).unwrap();
        let lake_file = lake(AIRPORTS, |definition| {
            asking(&stub.url, definition)
                .replace("every = \"1m\"", "every = \"1s\"")
                .replace("every = \"2s\"", "every = \"1s\"")
                .replace("forecast_every = \"1h\"", "forecast_every = \"2s\"")
                .replace("settle_ms = 500", "settle_ms = 50")
        });
        Self { seed, rounds, at, first_day, lake_file, _stub: stub }
    }

    /// A server of its own with this lake, whose born region has come to life.
    pub async fn server(&self, stack: Stack) -> Option<TestApp> {
        self.server_with(options(stack)).await
    }

    /// The same, with options of its own.
    pub async fn server_with(&self, own: Options) -> Option<TestApp> {
        let own = Options { lake_file: Some(self.lake_file.clone()), sources: true, ..own };
        let app = TestApp::start(own).await?;
        let (region, lat, lon) = BORN;
        let event = json!({"event_id": "born", "event_time": self.at, "region_id": region, "price": 1.0,
                           "lat": lat, "lon": lon});
        app.operator.post("/v1/events/d", event).await.status(202);
        let (since, reader) = (std::time::Instant::now(), app.customer("reader").await);
        while reader.get(&format!("/v1/regions/{region}")).await.status.as_u16() != 200 {
            assert!(since.elapsed() < PATIENCE, "{region} was not born:\n{}", spoken(&app));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(app)
    }

    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Puts the files of a round into the sources' inbox.
    pub fn files(&self, folder: &Path, round: usize) {
        let inbox = folder.join("sources/inbox");
        let day = |back: usize| self.at.date_naive() - TimeDelta::days(i64::try_from(back).unwrap());
        let (mut random, today) = (self.random(round, 1), day(round));
        write(&inbox.join("a"), &format!("a-{today}.csv"), &activity(&mut random));
        if round % 4 == 3 {
            // A file of an earlier round is corrected.
            let again = day(usize::try_from(random.below(round as u64)).unwrap());
            write(&inbox.join("a"), &format!("a-{again}.csv"), &activity(&mut random));
        }
        if round.is_multiple_of(5) {
            write(&inbox.join("b"), &format!("b-{today}.csv"), &profile(&mut random));
        }
        if round % 3 == 1 {
            let past = today - TimeDelta::days(400);
            write(&inbox.join("market_history"), &format!("h-{past}.csv"), &history(&mut random, past));
        }
    }

    /// Posts the events of a round until they are acknowledged.
    pub async fn events(&self, operator: &Customer, round: usize) {
        let events = self.events_of(round);
        for piece in events.chunks(7) {
            let since = std::time::Instant::now();
            loop {
                let request = operator.request(reqwest::Method::POST, "/v1/events/d").json(&piece);
                let sent = request.timeout(Duration::from_secs(5)).send().await;
                if sent.is_ok_and(|answer| answer.status().as_u16() == 202) {
                    break;
                }
                assert!(since.elapsed() < PATIENCE, "events of round {round} were not taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn events_of(&self, round: usize) -> Vec<Value> {
        let mut random = self.random(round, 2);
        let mut events: Vec<Value> = (0..EVENTS).map(|n| self.event(round, n)).collect();
        if round > 0 {
            // Some of an earlier round come again.
            let before = usize::try_from(random.below(round as u64)).unwrap();
            events.extend((0..EVENTS / 8).map(|n| self.event(before, n * 3)));
        }
        for last in (1..events.len()).rev() {
            events.swap(last, usize::try_from(random.below(last as u64 + 1)).unwrap());
        }
        events
    }

    /// One event, the same whenever it is made.
    fn event(&self, round: usize, n: u64) -> Value {
        let mut random = Random::new(self.seed ^ (round as u64 * EVENTS + n + 1).wrapping_mul(7_919));
        let region = match random.below(5) {
            _ if n == 4 => PENDING,
            3 => BORN.0,
            other => AIRPORTS[usize::try_from(other % 3).unwrap()].0,
        };
        let back = if random.chance(10) { 24 * 60 * (1 + random.below(6)) } else { random.below(300) };
        let time = self.at - TimeDelta::minutes(i64::try_from(back).unwrap());
        // Quarters: their sums are exact in any order.
        let price = 50.0 + random.below(400) as f64 / 4.0;
        json!({"event_id": format!("e-{round}-{n}"), "event_time": time, "region_id": region, "price": price,
               "interest": random.below(100)})
    }

    /// The verb that asks for a round's part of the past.
    pub fn backfill(&self, app: &TestApp, round: usize) -> Child {
        let days = usize::try_from((self.at.date_naive() - self.first_day).num_days() + 1).unwrap();
        let day = |round: usize| {
            let into = i64::try_from(days * round / self.rounds).unwrap();
            self.first_day + TimeDelta::days(into)
        };
        let (from, to) = (day(round), (day(round + 1) - TimeDelta::days(1)).max(day(round)));
        let (from, to) = (from.to_string(), to.to_string());
        let mut command = app.command(&["backfill", "c", "--from", &from, "--to", &to]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The maintenance of all tables, which compacts them while others write.
    pub fn maintenance(&self, app: &TestApp) -> Child {
        let mut command = app.command(&["run", "maintenance"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What the tables hold, but what depends on the hours at which the server ran.
    pub async fn contents(&self, customer: &Customer) -> Contents {
        let (soon, late) =
            (self.at.date_naive() + TimeDelta::days(2), self.at.date_naive() + TimeDelta::days(5));
        let whole = move |row: &Value| {
            let day: NaiveDate = row["day"].as_str().unwrap().parse().unwrap();
            (soon..=late).contains(&day)
        };
        let measured = |row: &Value| MEASURES.iter().any(|measure| !row[*measure].is_null());
        let contents = Contents::of(customer).await.without("weather.forecast");
        contents.only("weather.hourly", measured).only("weather.forecast_daily", whole)
    }

    /// Waits until the tables hold what is expected.
    pub async fn settles(&self, app: &TestApp, customer: &Customer, expected: &Contents) {
        let since = std::time::Instant::now();
        while let Some(difference) = self.contents(customer).await.difference(expected) {
            assert!(since.elapsed() < PATIENCE, "{difference}\n{}", spoken(app));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The tables after all rounds of a run that nobody disturbed.
    pub async fn undisturbed(&self, stack: Stack) -> Option<Contents> {
        let app = self.server(stack).await?;
        for round in 0..self.rounds() {
            self.files(&app.folder, round);
            self.events(&app.operator, round).await;
            self.ends_well(&app, round);
        }
        let acme = app.customer("acme").await;
        let mut contents = self.contents(&acme).await;
        // Until two looks, some beats of the sources apart, show the same.
        loop {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let later = self.contents(&acme).await;
            let Some(_) = later.difference(&contents) else { break };
            contents = later;
        }
        self.every_input_is_in(&contents);
        Some(contents)
    }

    /// The comparison would prove nothing over empty tables.
    fn every_input_is_in(&self, contents: &Contents) {
        let (rounds, regions) = (self.rounds(), 3);
        assert_eq!(contents.count("market.events"), rounds * 20 + 1);
        assert_eq!(contents.count("source_a.activity"), rounds * regions);
        assert_eq!(contents.count("source_b.profile"), rounds.div_ceil(5) * regions);
        assert_eq!(contents.count("market.history"), (rounds + 1) / 3 * regions);
        assert_eq!(contents.count("geo.regions"), regions + 2);
        let tables =
            ["weather.hourly", "weather.daily", "weather.forecast_daily", "market.daily", "geo.facts"];
        tables.iter().for_each(|table| assert!(contents.count(table) > 10, "{table}"));
    }

    /// Sees a round's backfill through.
    pub fn ends_well(&self, app: &TestApp, round: usize) {
        for _ in 0..20 {
            if self.backfill(app, round).wait().unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("the backfill of round {round} does not end:\n{}", spoken(app));
    }

    fn random(&self, round: usize, what: u64) -> Random {
        Random::new(self.seed ^ (round as u64 + 1).wrapping_mul(104_729) ^ (what << 32))
    }
}

/// Each issue of a forecast is there for all regions and once.
pub async fn forecasts_are_there_once(acme: &Customer) {
    let sql = "SELECT issued_at FROM (
                 SELECT issued_at, region_id, count(*) - count(DISTINCT valid_at) AS doubled
                 FROM weather.forecast GROUP BY issued_at, region_id) AS issues
               GROUP BY issued_at HAVING count(*) < 3 OR max(doubled) > 0";
    assert_eq!(acme.sql(sql).await.data(), json!([]));
    let issues = acme.sql("SELECT count(DISTINCT issued_at) AS n FROM weather.forecast").await.data();
    assert!(issues[0]["n"].as_u64().unwrap() > 2, "{issues}");
}

const MEASURES: [&str; 4] = ["air_temperature", "precipitation_amount", "wind_speed", "relative_humidity"];

/// The stations' hours moved by whole days so that the last ones are today's, up to that hour; and one station more.
fn until(at: DateTime<Utc>, mut stations: Vec<Station>) -> Vec<Station> {
    let last = stations.iter().filter_map(|s| s.hours.keys().next_back()).max().unwrap().date_naive();
    let moved = at.date_naive() - last;
    for station in &mut stations {
        let hours: BTreeMap<_, _> = station.hours.iter().map(|(time, hour)| (*time + moved, *hour)).collect();
        station.hours = hours.into_iter().filter(|(time, _)| *time <= at).collect();
    }
    let (name, lat, lon) = BORN;
    stations.push(Station { name: name.into(), lat, lon, hours: stations[0].hours.clone() });
    stations
}

fn activity(random: &mut Random) -> String {
    let head = String::from("region_id,activity_index,visits\n");
    AIRPORTS.iter().fold(head, |text, (region, ..)| {
        text + &format!("{region},{}.5,{}\n", 80 + random.below(40), random.below(9_000))
    })
}

fn profile(random: &mut Random) -> String {
    let head = String::from("region_id,households,income_index\n");
    AIRPORTS.iter().fold(head, |text, (region, ..)| {
        text + &format!("{region},{},{}.25\n", 1_000 + random.below(90_000), 80 + random.below(40))
    })
}

fn history(random: &mut Random, day: NaiveDate) -> String {
    let head = String::from(
        "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\n",
    );
    AIRPORTS.iter().fold(head, |text, (region, ..)| {
        let price = 40 + random.below(60);
        text + &format!("{region},{day},{price}.5,{0}.5,{price}.0,{0}.0,{price}.75,50.5,{price}\n", price + 1)
    })
}

/// Writes a file as a partner should: under another name first.
fn write(folder: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let part = folder.join(format!("{name}.part"));
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, folder.join(name)).unwrap();
}
