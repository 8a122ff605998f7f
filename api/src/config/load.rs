//! Puts file and environment together, then reads the whole into [`Config`], and says of what cannot be used where it
//! came from: file, line and key, or the variable.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError, place};

const PREFIX: &str = "LAKEFRONT__";
/// Variables that are no settings of the configuration, or those of a container's neighbours.
const OTHERS: &[&str] = &[
    "LAKEFRONT_CONFIG",
    "LAKEFRONT_FAILPOINTS",
    "LAKEFRONT_REWRITE",
    "LAKEFRONT_WORKER",
    "LAKEFRONT_TEST_",
    "LAKEFRONT_SERVICE_",
    "LAKEFRONT_PORT",
];
/// What a message must not repeat, not even where it is no secret by its form.
const SECRETS: &[&str] = &["database.url", "auth.signing_key", "cache.redis_url", "storage.options"];

/// Reads `base`, over it `file` (if any), over it the environment. Errors: unreadable, unknown or unusable keys.
pub fn load(base: &str, file: Option<&Path>) -> Result<Config, ConfigError> {
    let file = file.map(File::read).transpose()?;
    Sources { base, file, variables: variables(PREFIX) }.config()
}

/// Variables that look like settings and are none.
pub fn strangers() -> impl Iterator<Item = String> {
    let named = variables("LAKEFRONT_").into_iter().map(|(name, _)| name);
    named.filter(|name| !name.starts_with(PREFIX) && !OTHERS.iter().any(|known| name.starts_with(known)))
}

fn variables(prefix: &str) -> Vec<(String, String)> {
    let all = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.to_string_lossy().into_owned())));
    let mut named: Vec<_> = all.filter(|(name, _)| name.starts_with(prefix)).collect();
    named.sort();
    named
}

/// A configuration file.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Its settings; each could be used by itself.
    fn table(&self) -> Result<Table, ConfigError> {
        toml::from_str::<Config>(&self.text).map_err(|error| self.refused(&error))?;
        self.text.parse().map_err(|error| self.refused(&error))
    }

    /// The message without the lines of the file, which may hold a secret.
    fn refused(&self, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map(|span| span.start);
        let line = start.map(|start| place::line(&self.text, start));
        let key = start.and_then(|start| place::key_at(&self.text, start));
        let reason = without_secrets(key.as_deref(), error.message());
        let reason = key.map_or(reason.clone(), |key| format!("{key}: {reason}"));
        ConfigError::Refused { origin: self.origin(line), reason }
    }

    fn origin(&self, line: Option<usize>) -> String {
        let path = self.path.display();
        line.map_or_else(|| path.to_string(), |line| format!("{path}, line {line}"))
    }
}

/// All that a configuration is made of.
struct Sources<'a> {
    base: &'a str,
    file: Option<File>,
    /// Sorted by name.
    variables: Vec<(String, String)>,
}

impl Sources<'_> {
    fn config(&self) -> Result<Config, ConfigError> {
        let mut table: Table = self.base.parse().map_err(|error| whole(&error))?;
        if let Some(file) = &self.file {
            merge(&mut table, file.table()?);
        }
        for (name, text) in &self.variables {
            set(&mut table, name, variable(name, text)?)?;
        }
        let config = Config::deserialize(Value::Table(table)).map_err(|error| whole(&error))?;
        config.check().map_err(|error| self.placed(error))?;
        Ok(config)
    }

    /// The same with where the key was set.
    fn placed(&self, error: ConfigError) -> ConfigError {
        let ConfigError::Value { key, reason } = error else { return error };
        let path = key.split(' ').next().unwrap_or(key);
        let reason = format!("{key} {reason}");
        let name = format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"));
        if self.variables.iter().any(|(known, _)| *known == name) {
            return ConfigError::Refused { origin: name, reason };
        }
        let set = self.file.as_ref().and_then(|file| Some((file, place::line_of(&file.text, path)?)));
        match set {
            Some((file, line)) => ConfigError::Refused { origin: file.origin(Some(line)), reason },
            None => ConfigError::Refused { origin: "configuration".into(), reason },
        }
    }
}

/// The value of one variable, judged by itself: what it is in TOML, or the text where only a text will do (a node called
/// `1`). Errors: it names no key, or its value cannot be one.
fn variable(name: &str, text: &str) -> Result<Value, ConfigError> {
    let mut refused = None;
    for value in [value(text), Some(Value::String(text.to_owned()))].into_iter().flatten() {
        let mut alone = Table::new();
        set(&mut alone, name, value.clone())?;
        match Config::deserialize(Value::Table(alone)) {
            Ok(_) => return Ok(value),
            // Of another type: the text may say more.
            Err(error) if refused.is_none() || error.message().starts_with("is ") => refused = Some(error),
            Err(_) => {}
        }
    }
    let path = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
    let reason = refused.map_or_else(String::new, |error| without_secrets(Some(&path), error.message()));
    Err(ConfigError::Refused { origin: name.to_owned(), reason })
}

fn set(table: &mut Table, name: &str, value: Value) -> Result<(), ConfigError> {
    let path = name[PREFIX.len()..].to_ascii_lowercase();
    put(table, &path, value).ok_or_else(|| ConfigError::Name { name: name.to_owned() })
}

/// Puts a value under `section__key[__key]`; `None` where the path is no path.
fn put(table: &mut Table, path: &str, value: Value) -> Option<()> {
    let (head, rest) = match path.split_once("__") {
        Some((head, rest)) => (head, Some(rest)),
        None => (path, None),
    };
    if head.is_empty() {
        return None;
    }
    let Some(rest) = rest else {
        table.insert(head.to_owned(), value);
        return Some(());
    };
    let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
    put(inner.as_table_mut()?, rest, value)
}

/// A number, a boolean or a list, where the text is one in TOML.
fn value(text: &str) -> Option<Value> {
    let read = format!("v = {text}").parse::<Table>().ok()?.remove("v")?;
    matches!(read, Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_)).then_some(read)
}

/// Lays tables over tables; any other value takes the place of the one before.
fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

/// A reader's message may repeat the value.
fn without_secrets(key: Option<&str>, message: &str) -> String {
    let secret =
        |key: &str| SECRETS.iter().any(|secret| key == *secret || key.starts_with(&format!("{secret}.")));
    if key.is_some_and(secret) { "cannot be used as it is written".into() } else { message.to_owned() }
}

fn whole(error: &toml::de::Error) -> ConfigError {
    ConfigError::Refused { origin: "configuration".into(), reason: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = Some(File { path: "test.toml".into(), text: file.to_owned() });
        let variables = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sources { base: "", file, variables }.config()
    }

    fn refusal(file: &str, env: &[(&str, &str)]) -> String {
        from(file, env).unwrap_err().to_string()
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config =
            from("[server]\nlisten = \"127.0.0.1:1\"", &[("LAKEFRONT__SERVER__LISTEN", "127.0.0.1:2")])
                .unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:2");
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_come_from() {
        assert!(
            refusal("[server]\nlissen = 1", &[]).starts_with("test.toml, line 2: server.lissen: unknown")
        );
        assert!(
            refusal("", &[("LAKEFRONT__SERVER__LISSEN", "1")]).starts_with("LAKEFRONT__SERVER__LISSEN: ")
        );
        assert!(from("", &[("LAKEFRONT__SERVER__", "1")]).is_err());
    }

    #[test]
    fn a_refusal_names_line_and_key_or_the_variable() {
        let port = refusal("[log]\n\n[server]\nlisten = \"8080\"", &[]);
        assert!(port.starts_with("test.toml, line 4: server.listen: is an address and a port"), "{port}");
        let bytes = refusal("[server]\nhead_bytes = \"x\"", &[]);
        assert!(bytes.starts_with("test.toml, line 2: server.head_bytes: invalid type"), "{bytes}");
        assert!(refusal("\n[server\nhead_bytes = 1", &[]).starts_with("test.toml, line 2: "));
        let small = refusal("[server]\n\nhead_bytes = 1", &[]);
        assert!(small.starts_with("test.toml, line 3: server.head_bytes must be"), "{small}");
        let small = refusal("[server]\nhead_bytes = 9000", &[("LAKEFRONT__SERVER__HEAD_BYTES", "1")]);
        assert!(small.starts_with("LAKEFRONT__SERVER__HEAD_BYTES: server.head_bytes must be"), "{small}");
        let port = refusal("", &[("LAKEFRONT__SERVER__LISTEN", "8080")]);
        assert!(port.starts_with("LAKEFRONT__SERVER__LISTEN: is an address"), "{port}");
        assert_eq!(from("", &[("LAKEFRONT__SERVER__NODE", "1")]).unwrap().server.node, "1");
        let text = refusal("", &[("LAKEFRONT__SERVER__HEAD_BYTES", "x")]);
        assert!(text.starts_with("LAKEFRONT__SERVER__HEAD_BYTES: invalid type"), "{text}");
    }

    #[test]
    fn an_error_does_not_repeat_a_secret() {
        for error in [
            refusal("[auth]\nsigning_key = 5551", &[]),
            refusal("", &[("LAKEFRONT__AUTH__SIGNING_KEY", "5551")]),
            refusal("[storage.options]\nkey = [5551]", &[]),
            refusal("[auth]\nsigning_key = \"5551", &[]),
        ] {
            assert!(!error.contains("5551"), "{error}");
        }
    }

    #[test]
    fn a_file_goes_over_the_base_key_by_key() {
        let text = "[log]\nfilter = \"debug\"".to_owned();
        let file = Some(File { path: "test.toml".into(), text });
        let base = "[log]\nfilter = \"warn\"\naccess = false";
        let config = Sources { base, file, variables: Vec::new() }.config().unwrap();
        assert_eq!((config.log.filter.as_str(), config.log.access), ("debug", false));
    }
}
