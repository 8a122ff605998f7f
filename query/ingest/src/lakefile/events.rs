//! A stream of market events as the lake's TOML declares it: behind a log of our own or a Kafka topic, pushed or polled.
//!
//! ```toml
//! [sources.d]
//! kind = "events"
//! [sources.d.kafka]        # absent: a log in a file of this node
//! [sources.d.poll]         # absent: events are pushed alone
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use identity::TableName;
use serde::Deserialize;

use super::files::is_url;
use super::{ColumnType, Period, SecretSpec, TableSpec};

/// A stream of market events.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSpec {
    pub table: TableName,
    /// Time between two commits.
    pub every: Option<Period>,
    /// Times of commits, in place of `every`.
    pub cron: Option<String>,
    pub timezone: Option<String>,
    /// Most events in one commit.
    pub events_per_batch: usize,
    /// How long an event's id is remembered: a repetition within that time is dropped.
    pub remember: Period,
    /// The topic that the events go through. Absent: a log in a file of this node.
    pub kafka: Option<KafkaSpec>,
    /// An HTTP service that is asked for events beside those that are pushed.
    pub poll: Option<PollSpec>,
}

/// A topic of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSpec {
    /// `host:port` of some of its brokers.
    pub servers: Vec<String>,
    pub topic: String,
    #[serde(default)]
    pub security: Security,
    /// Of a login: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: Option<String>,
    pub user: Option<String>,
    pub password: Option<SecretSpec>,
    /// Certificates (PEM) that brokers are trusted by, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a push waits for the brokers' acknowledgement.
    #[serde(default = "eight_seconds")]
    pub timeout: Period,
    #[serde(default)]
    pub after_gap: AfterGap,
}

/// How the brokers are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    #[default]
    Plaintext,
    Tls,
    Login,
    LoginTls,
}

/// What happens where the topic no longer has the place at which the table goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterGap {
    /// The source stands still and says so: somebody is to see what is missing.
    #[default]
    Stop,
    /// It goes on at the oldest event that the topic has.
    Oldest,
}

/// An HTTP service that gives events as JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollSpec {
    /// Where it is asked; `{position}` stands for how far it has been read.
    pub url: String,
    pub every: Period,
    /// The position of the first request.
    #[serde(default)]
    pub first: String,
    /// Where the events stand in an answer, `data.items`; absent: the answer is the array.
    #[serde(default)]
    pub events: String,
    pub paging: Paging,
    /// Our field, and where it stands in one of the service's events: `price = "px.value"`.
    pub fields: BTreeMap<String, String>,
    /// How the service writes `event_time`.
    #[serde(default)]
    pub time: TimeFormat,
    /// Sent as `Authorization: Bearer …`, or alone in the header named by `token_header`.
    pub token: Option<SecretSpec>,
    pub token_header: Option<String>,
    /// Most requests in a row.
    #[serde(default = "hundred")]
    pub pages: u32,
    /// Least time between two requests.
    #[serde(default)]
    pub pause_ms: u64,
    #[serde(default = "half_a_minute")]
    pub timeout: Period,
    /// The longest answer that is read.
    #[serde(default = "sixteen_mebibytes")]
    pub answer_limit_bytes: u64,
    /// Whether addresses of this machine and of private networks may be asked: only for a service of one's own.
    #[serde(default)]
    pub allow_private: bool,
}

/// What an answer says of the next position.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    /// This field of the answer is it; without one the position stays.
    Cursor(String),
    /// It is the greatest value of this field of the events.
    Newest(String),
}

/// How an instant is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    Unix,
    UnixMs,
}

/// What every event must have, and what it may have.
const NEEDED: [&str; 3] = ["event_id", "event_time", "region_id"];
const OPTIONAL: [&str; 4] = ["price", "interest", "lon", "lat"];
/// The columns of a table of events: they are filled by their place (`table_rows` of `sources::events`).
const COLUMNS: [(&str, ColumnType); 8] = [
    ("event_id", ColumnType::Text),
    ("event_time", ColumnType::Timestamp),
    ("region_id", ColumnType::Text),
    ("price", ColumnType::Double),
    ("interest", ColumnType::Double),
    ("lon", ColumnType::Double),
    ("lat", ColumnType::Double),
    ("ingested_at", ColumnType::Timestamp),
];

fn eight_seconds() -> Period {
    Period(Duration::from_secs(8))
}

fn half_a_minute() -> Period {
    Period(Duration::from_secs(30))
}

fn hundred() -> u32 {
    100
}

fn sixteen_mebibytes() -> u64 {
    16 << 20
}

impl EventsSpec {
    /// Errors: the part of the declaration that is wrong, and why, in words for the operator.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        self.kafka.as_ref().map_or(Ok(()), KafkaSpec::check).map_err(|why| ("kafka", why))?;
        self.poll.as_ref().map_or(Ok(()), PollSpec::check).map_err(|why| ("poll", why))
    }

    /// Whether its table can hold events.
    /// - Errors: the first column that is not theirs, or a key that an event may lack, in words for the operator.
    pub(super) fn check_table(&self, table: &TableSpec) -> Result<(), String> {
        let given = |n: usize| table.columns.get(n).map(|column| (column.name.as_str(), column.r#type));
        let strange = |n: &usize| given(*n) != COLUMNS.get(*n).copied();
        if let Some(n) = (0..COLUMNS.len().max(table.columns.len())).find(strange) {
            let all = COLUMNS.map(|(name, of)| format!("{name} ({})", of.name())).join(", ");
            let found = given(n).map_or("none".into(), |(name, of)| format!("`{name}` ({})", of.name()));
            let place = n + 1;
            return Err(format!(
                "column {place} of `{}` is {found}; events fill, in this order: {all}",
                self.table
            ));
        }
        match table.key.iter().find(|name| OPTIONAL.contains(&name.as_str())) {
            Some(name) => Err(format!("the key of `{}` names `{name}`, which an event may lack", self.table)),
            None => Ok(()),
        }
    }
}

impl KafkaSpec {
    fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "kafka") {
            return Err("this program was built without Kafka: build it with `--features kafka`".into());
        }
        if !cfg!(feature = "kafka-tls") && matches!(self.security, Security::Tls | Security::LoginTls) {
            let tls = "this program was built without TLS for Kafka: build it with `--features kafka-tls`";
            return Err(tls.into());
        }
        if self.servers.is_empty() || self.servers.iter().any(|s| s.is_empty() || s.contains([',', '/'])) {
            return Err("`servers` holds `host:port` of at least one broker".into());
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=249).contains(&self.topic.len()) || !self.topic.chars().all(legal) {
            return Err(format!("`{}` is no name of a topic", self.topic));
        }
        self.check_login()
    }

    fn check_login(&self) -> Result<(), String> {
        let login = matches!(self.security, Security::Login | Security::LoginTls);
        let given = (self.user.is_some(), self.password.is_some(), self.mechanism.is_some());
        match (login, given) {
            (true, (true, true, _)) | (false, (false, false, false)) => {}
            (true, _) => return Err("a login needs `user` and `password = { env = \"NAME\" }`".into()),
            (false, _) => return Err("`user`, `password` and `mechanism` go with a login".into()),
        }
        match self.mechanism.as_deref() {
            None | Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => Ok(()),
            Some(_) => Err("`mechanism` may be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".into()),
        }
    }
}

impl PollSpec {
    fn check(&self) -> Result<(), String> {
        is_url(&self.url.replace("{position}", "x"), &["http", "https"])?;
        if let Some(missing) = NEEDED.iter().find(|field| !self.fields.contains_key(**field)) {
            return Err(format!("`fields` does not say where `{missing}` stands"));
        }
        let strange =
            |field: &&String| !NEEDED.contains(&field.as_str()) && !OPTIONAL.contains(&field.as_str());
        match self.fields.keys().find(strange) {
            Some(unknown) => Err(format!("`fields` names `{unknown}`, which no event has")),
            None if self.time == TimeFormat::Rfc3339 && !self.is_plain() => {
                Err("`first` is no instant, as the values of `newest` are".into())
            }
            None => Ok(()),
        }
    }

    /// Whether the first position can be compared to those that follow.
    fn is_plain(&self) -> bool {
        let of_time = |field: &String| self.fields.get("event_time") == Some(field) && !self.first.is_empty();
        match &self.paging {
            Paging::Newest(field) if of_time(field) => DateTime::parse_from_rfc3339(&self.first).is_ok(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefile::Lakefile;

    const HEAD: &str =
        "table = \"market.events\"\nevery = \"2s\"\nevents_per_batch = 100\nremember = \"8d\"\n";
    const POLL: &str = "[poll]\nurl = \"https://x.test/e?since={position}\"\nevery = \"5s\"\npaging.newest = \"ts\"\n\
                        fields = { event_id = \"id\", event_time = \"ts\", region_id = \"zone\" }\n";

    fn judged(more: &str) -> Result<(), String> {
        let spec: EventsSpec = toml::from_str(&format!("{HEAD}{more}")).map_err(|e| e.to_string())?;
        spec.check().map_err(|(part, why)| format!("{part}: {why}"))
    }

    #[test]
    fn a_stream_is_a_log_a_topic_or_polled_too() {
        judged("").unwrap();
        judged(POLL).unwrap();
        judged(&POLL.replace("newest = \"ts\"", "cursor = \"meta.next\"")).unwrap();
        let topic = judged("[kafka]\nservers = [\"k:9092\"]\ntopic = \"d\"\nafter_gap = \"oldest\"");
        match cfg!(feature = "kafka") {
            true => topic.unwrap(),
            false => assert!(topic.unwrap_err().contains("built without Kafka")),
        }
    }

    #[test]
    #[cfg(feature = "kafka")]
    fn what_cannot_be_meant_of_a_topic_is_refused() {
        for (wrong, said) in [
            ("servers = []\ntopic = \"d\"", "servers"),
            ("servers = [\"k:9092\"]\ntopic = \"a b\"", "no name of a topic"),
            ("servers = [\"k:9092\"]\ntopic = \"d\"\nsecurity = \"login\"", "a login needs"),
            ("servers = [\"k:9092\"]\ntopic = \"d\"\nuser = \"u\"", "go with a login"),
            ("servers = [\"k:9092\"]\ntopic = \"d\"\ntpoic = \"e\"", "tpoic"),
            ("servers = [\"k:9092\"]\ntopic = \"d\"\npassword = \"geheim\"", "unknown variant"),
        ] {
            let told = judged(&format!("[kafka]\n{wrong}")).unwrap_err();
            assert!(told.contains(said), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_table_of_events_has_their_columns_in_their_order() {
        type Change = fn(&mut TableSpec);
        let spec: EventsSpec = toml::from_str(HEAD).unwrap();
        let lakefile = Lakefile::builtin().unwrap();
        let fits = lakefile.table(&spec.table).unwrap();
        let judged = |change: Change| {
            let mut table = fits.clone();
            change(&mut table);
            spec.check_table(&table)
        };
        judged(|_| {}).unwrap();
        let wrongs: [(Change, &str); 5] = [
            (|table| table.columns.swap(3, 4), "column 4 of `market.events` is `interest` (double)"),
            (
                |table| table.columns[3].r#type = ColumnType::Bigint,
                "column 4 of `market.events` is `price` (bigint)",
            ),
            (|table| drop(table.columns.pop()), "column 8 of `market.events` is none"),
            (|table| table.columns.push(table.columns[3].clone()), "column 9 of `market.events` is `price`"),
            (|table| table.key.push("lon".into()), "names `lon`, which an event may lack"),
        ];
        for (change, said) in wrongs {
            let told = judged(change).unwrap_err();
            assert!(told.contains(said), "{said} is not in: {told}");
        }
    }

    #[test]
    fn what_cannot_be_meant_of_a_service_is_refused() {
        for (from, to, said) in [
            ("https:", "ftp:", "begins with `ftp:`"),
            ("x.test", "u:geheim@x.test", "holds credentials"),
            ("event_id = \"id\",", "", "`event_id`"),
            ("event_id = \"id\"", "event_id = \"id\", colour = \"c\"", "`colour`"),
            ("every = \"5s\"", "every = \"5s\"\nfirst = \"yesterday\"", "no instant"),
            ("newest", "newst", "newst"),
        ] {
            let told = judged(&POLL.replace(from, to)).unwrap_err();
            assert!(told.contains(said), "{to}: {told}");
        }
    }
}
