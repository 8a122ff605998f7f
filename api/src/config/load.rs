//! Puts file and environment together, then reads the whole into [`Config`].

use std::path::Path;

use toml::{Table, Value};

use super::{Config, ConfigError};

const PREFIX: &str = "LAKEFRONT__";

/// Reads `file` (if any) and the environment; the environment wins. Errors: unreadable, unknown or unusable keys.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let table = file.map_or_else(|| Ok(Table::new()), read)?;
    let origin = file.map_or_else(|| "environment".to_owned(), |path| path.display().to_string());
    let config = merge(table, &origin, std::env::vars())?;
    config.check()?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    text.parse().map_err(|error: toml::de::Error| refused(&path.display().to_string(), &error))
}

fn merge(
    mut table: Table,
    origin: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    for (name, text) in environment.filter(|(name, _)| name.starts_with(PREFIX)) {
        let path = name[PREFIX.len()..].to_ascii_lowercase();
        place(&mut table, &path, text).ok_or(ConfigError::Name { name })?;
    }
    Config::deserialize_from(table).map_err(|error| refused(origin, &error))
}

impl Config {
    fn deserialize_from(table: Table) -> Result<Self, toml::de::Error> {
        serde::Deserialize::deserialize(Value::Table(table))
    }
}

/// Puts a value under `section__key[__key]`; `None` where the path is no path.
fn place(table: &mut Table, path: &str, text: String) -> Option<()> {
    let (head, rest) = match path.split_once("__") {
        Some((head, rest)) => (head, Some(rest)),
        None => (path, None),
    };
    if head.is_empty() {
        return None;
    }
    let Some(rest) = rest else {
        table.insert(head.to_owned(), value(text));
        return Some(());
    };
    let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
    place(inner.as_table_mut()?, rest, text)
}

/// A number, a boolean or a list where the text is one in TOML, else the text.
fn value(text: String) -> Value {
    let read = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match read {
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(text),
    }
}

/// The message without the lines of the file, which may hold a secret.
fn refused(path: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Toml { path: path.to_owned(), message: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        merge(file.parse().unwrap(), "test", env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
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
        assert!(from("[server]\nlissen = 1", &[]).is_err());
        assert!(from("", &[("LAKEFRONT__SERVER__LISSEN", "1")]).is_err());
        assert!(from("", &[("LAKEFRONT__SERVER__", "1")]).is_err());
    }

    #[test]
    fn an_error_does_not_repeat_the_line() {
        let error = from("[auth]\nsigning_key = 5", &[]).unwrap_err();
        assert!(!error.to_string().contains("= 5"));
    }
}
