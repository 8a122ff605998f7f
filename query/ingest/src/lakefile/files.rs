//! A source of files as the lake's TOML declares it: where the files are, what they hold, what happens to one that does not fit.
//!
//! ```toml
//! [sources.a]
//! kind = "files"
//! table = "source_a.activity"
//! every = "1m"
//! dated = "day"
//! from.folder = "a"                         # or one of [sources.a.from.store], .http, .ftp
//! ```
//! A secret is never written here: `{ env = "NAME" }` or `{ file = "/path" }` says where it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use identity::TableName;
use serde::Deserialize;
use url::Url;

use super::{ColumnType, JsonPath, Period, TableSpec};
use crate::sources::files::Template;
use crate::sources::weather::Conversion;

/// Files that appear somewhere.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSpec {
    pub table: TableName,
    pub from: FilesFrom,
    /// How often the place is looked at.
    pub every: Option<Period>,
    /// Times at which it is, in place of `every`.
    pub cron: Option<String>,
    pub timezone: Option<String>,
    /// The column that dates a row, in the file or, where the file has none, from the file's own date.
    pub dated: String,
    /// Days between a file's date and the day its rows are about.
    #[serde(default)]
    pub lag_days: i64,
    /// A file younger than this, or whose size has moved within it, may still be being written.
    #[serde(default)]
    pub settle_ms: u64,
    /// Which names are files of this source, `*` standing for anything. Absent: those with the ending of a format.
    pub names: Option<String>,
    #[serde(default)]
    pub drift: Drift,
    /// The unit of a column in the files, where it is another than the table's: `air_temperature = "degF"`.
    #[serde(default)]
    pub units: BTreeMap<String, String>,
    /// What the files call a column of the table, or where in nested values (JSON, NDJSON, nested Parquet) it lies:
    /// `valid_from = "since"`, `visits = "counts.visits"`.
    #[serde(default)]
    pub paths: BTreeMap<String, String>,
    /// The longest file that is taken.
    #[serde(default = "one_gibibyte")]
    pub file_limit_bytes: u64,
}

/// What happens to a file that does not fit its table: a column too many, too few, of another type; or no table at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// The source stops at it, and says so, until somebody has done something.
    Refuse,
    /// Columns that the table lacks are added to it, columns that the file lacks are null. Else as `set_aside`.
    Widen,
    /// It is kept in the raw area, counted, and passed over.
    #[default]
    SetAside,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilesFrom {
    /// A folder below the inbox of the sources' folder.
    Folder(String),
    Store(StoreSpec),
    Http(HttpSpec),
    Ftp(FtpSpec),
}

/// A prefix of an object store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// `file:///folder`, `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub url: String,
    /// The client's own settings, as the lake's: `aws_region`, `aws_endpoint`, `allow_http`, ….
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Settings that are secrets. What the environment gives to the lake's own client counts here too.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSpec>,
    #[serde(default)]
    pub allow_private: bool,
}

/// A listing over HTTP, or a URL for each day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// An HTML index or a JSON array of names, URLs or `{name, url, size, modified, etag}`; with `{date}` or `{date:%Y%m%d}` in
    /// it, the file of a day.
    pub url: String,
    /// Of a URL for each day: how many days are asked for, the present one included.
    #[serde(default = "a_week")]
    pub days: u32,
    /// How long after its arrival a listed file is asked whether it has changed, where the listing does not tell.
    #[serde(default = "recheck")]
    pub recheck: Period,
    pub user: Option<String>,
    pub password: Option<SecretSpec>,
    /// Sent as `Authorization: Bearer …`, or alone in the header named by `token_header`.
    pub token: Option<SecretSpec>,
    pub token_header: Option<String>,
    /// Least time between two requests.
    #[serde(default)]
    pub pause_ms: u64,
    /// The longest time one file may take.
    #[serde(default = "five_minutes")]
    pub timeout: Period,
    #[serde(default)]
    pub allow_private: bool,
}

/// A folder of an FTP server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FtpSpec {
    /// `ftp://host[:21]/folder`, or `ftps://…`: the same with TLS from before the login on (`AUTH TLS`).
    pub url: String,
    /// Absent: anonymous.
    pub user: Option<String>,
    pub password: Option<SecretSpec>,
    /// Certificates (PEM) that an `ftps` server is trusted by, instead of the system's.
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub pause_ms: u64,
    #[serde(default = "five_minutes")]
    pub timeout: Period,
    #[serde(default)]
    pub allow_private: bool,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSpec {
    /// In a variable of the environment.
    Env(String),
    /// In a file; white space at its end does not count.
    File(PathBuf),
}

fn one_gibibyte() -> u64 {
    1 << 30
}

fn a_week() -> u32 {
    7
}

fn recheck() -> Period {
    Period(std::time::Duration::from_secs(7 * 86_400))
}

fn five_minutes() -> Period {
    Period(std::time::Duration::from_secs(300))
}

impl FilesSpec {
    /// Errors: what is wrong with it, in words for the operator.
    pub(super) fn check(&self, table: &TableSpec) -> Result<(), String> {
        let dates = table.columns.iter().find(|c| c.name == self.dated);
        if !dates.is_some_and(|c| matches!(c.r#type, ColumnType::Date | ColumnType::Timestamp)) {
            return Err(format!(
                "`dated` names `{}`, which is no date or timestamp of `{}`",
                self.dated, self.table
            ));
        }
        if !table.columns.iter().any(|c| c.name == "region_id" && c.r#type == ColumnType::Text) {
            return Err(format!("`{}` has no text column `region_id`", self.table));
        }
        self.conversions(table)?;
        self.paths(table)?;
        self.from.check()
    }

    /// Where columns of the table lie that are not the files' columns of that name.
    /// - Errors: an unknown column, or a path that cannot be one.
    pub fn paths(&self, table: &TableSpec) -> Result<BTreeMap<String, JsonPath>, String> {
        let path = |(name, text): (&String, &String)| {
            if name == "ingested_at" || !table.columns.iter().any(|c| &c.name == name) {
                return Err(format!("`paths` names `{name}`, which no file fills in `{}`", self.table));
            }
            let path = JsonPath::parse(text).ok_or_else(|| {
                format!(
                    "`paths` for `{name}`: `{text}` is no path such as `since`, `counts.visits` or `places[0].visits`"
                )
            })?;
            Ok((name.clone(), path))
        };
        self.paths.iter().map(path).collect()
    }

    /// From the files' units to the table's, by column.
    /// - Errors: an unknown column, one that has no unit, or a unit that is not known.
    pub fn conversions(&self, table: &TableSpec) -> Result<BTreeMap<String, Conversion>, String> {
        let convert = |(name, unit): (&String, &String)| {
            let column = table.columns.iter().find(|c| &c.name == name && c.r#type == ColumnType::Double);
            let column = column
                .ok_or_else(|| format!("`units` names `{name}`, which is no double of `{}`", self.table))?;
            let stored =
                column.unit.as_deref().ok_or_else(|| format!("`{name}` has no unit to convert to"))?;
            let conversion =
                Conversion::between(unit, stored).map_err(|e| format!("`units` for `{name}`: {e}"))?;
            Ok((name.clone(), conversion))
        };
        self.units.iter().map(convert).collect()
    }
}

impl FilesFrom {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Folder(folder) => is_plain(folder),
            Self::Store(store) => store.check(),
            Self::Http(http) => http.check(),
            Self::Ftp(ftp) => is_url(&ftp.url, &["ftp", "ftps"]),
        }
    }
}

impl StoreSpec {
    fn check(&self) -> Result<(), String> {
        is_url(&self.url, &["file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss"])?;
        let secret = |name: &&String| {
            let name = name.to_ascii_lowercase();
            ["secret", "password", "token", "key", "sas"].iter().any(|word| name.contains(word))
                && !name.ends_with("key_id")
        };
        match self.options.keys().find(secret) {
            Some(name) => Err(format!(
                "`options` holds `{name}`: a secret stands in `secrets`, as {{ env = \"NAME\" }}"
            )),
            None => Ok(()),
        }
    }
}

impl HttpSpec {
    fn check(&self) -> Result<(), String> {
        match Template::parse(&self.url)? {
            Some(template) => is_url(&template.of(chrono::NaiveDate::default()), &["http", "https"]),
            None => is_url(&self.url, &["http", "https"]),
        }
    }
}

fn is_plain(folder: &str) -> Result<(), String> {
    let leaves = |part: std::path::Component<'_>| !matches!(part, std::path::Component::Normal(_));
    match folder.is_empty() || std::path::Path::new(folder).components().any(leaves) {
        true => Err(format!("the folder `{folder}` is not one below the inbox")),
        false => Ok(()),
    }
}

/// A URL of these schemes, with a host where there must be one, and without credentials. The text itself is not repeated:
/// what is wrong with it may be a password.
pub(super) fn is_url(text: &str, schemes: &[&str]) -> Result<(), String> {
    let url = Url::parse(text).map_err(|e| format!("`url` is no URL: {e}"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(format!("`url` begins with `{}:`; it may be {}", url.scheme(), schemes.join(", ")));
    }
    if url.scheme() != "file" && url.host_str().unwrap_or_default().is_empty() {
        return Err("`url` names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "`url` holds credentials: `user` and `password = { env = \"NAME\" }` stand beside it".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefile::Lakefile;

    fn judged(more: &str) -> Result<(), String> {
        let head = "table = \"source_a.activity\"\nevery = \"1m\"\ndated = \"day\"\n";
        let spec: FilesSpec = toml::from_str(&format!("{head}{more}")).map_err(|e| e.to_string())?;
        let lakefile = Lakefile::builtin().unwrap();
        spec.check(lakefile.table(&spec.table).unwrap())
    }

    #[test]
    fn each_kind_of_place_has_its_own_keys() {
        for fits in [
            "from.folder = \"a\"",
            "from.folder = \"a\"\npaths = { day = \"since\", visits = \"counts.visits\" }",
            "from.store = { url = \"s3://bucket/a\", secrets = { aws_secret_access_key = { env = \"X\" } } }",
            "from.http = { url = \"https://example.test/{date:%Y/%m}/a-{date}.csv\", days = 30 }",
            "from.http = { url = \"https://example.test/a/\", user = \"u\", password = { file = \"/run/secret\" } }",
            "from.ftp = { url = \"ftps://example.test/a\", user = \"u\", password = { env = \"X\" } }\ndrift = \"refuse\"",
        ] {
            judged(fits).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_no_password_is_repeated() {
        for (wrong, reason) in [
            ("from.folder = \"../a\"", "below the inbox"),
            ("from.ftp = { url = \"ftp://u:geheim@example.test/a\" }", "holds credentials"),
            ("from.ftp = { url = \"http://example.test/a\" }", "begins with `http:`"),
            ("from.ftp = { url = \"ftp://example.test/a\", password = \"geheim\" }", "unknown variant"),
            ("from.store = { url = \"memory:///\" }", "begins with `memory:`"),
            (
                "from.store = { url = \"s3://b/a\", options = { aws_secret_access_key = \"geheim\" } }",
                "secrets",
            ),
            ("from.http = { url = \"https://example.test/{date:%Q}\" }", "date"),
            ("from.folder = \"a\"\nunits = { activity_index = \"degF\" }", "no unit"),
            ("from.folder = \"a\"\nunits = { visits = \"degF\" }", "no double"),
            ("from.folder = \"a\"\ndrift = \"ignore\"", "drift"),
            ("from.folder = \"a\"\npaths = { visitors = \"counts.visits\" }", "`visitors`"),
            ("from.folder = \"a\"\npaths = { visits = \"\" }", "is no path"),
            ("from.folder = \"a\"\npaths = { visits = \"counts..visits\" }", "is no path"),
            ("from.folder = \"a\"\npaths = { visits = \"counts[x]\" }", "is no path"),
        ] {
            let told = judged(wrong).unwrap_err();
            assert!(told.contains(reason), "{wrong}: {told}");
            // The reader of TOML shows the line it is about; we repeat none of it.
            assert!(reason == "unknown variant" || !told.contains("geheim"), "{told}");
        }
    }
}
