//! A configuration as a file again.

use toml::{Table, Value};

use super::{Config, Hidden};

impl Config {
    /// The settings that are not the defaults, as TOML and with secrets in plain: for a file that only its owner reads.
    /// Errors: a value that TOML has no form for.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let (mut table, defaults) = (table(self)?, table(&Self::default())?);
        for (name, section) in &mut table {
            let default = defaults.get(name).and_then(Value::as_table);
            if let Some(section) = section.as_table_mut() {
                section.retain(|key, value| default.and_then(|default| default.get(key)) != Some(value));
            }
        }
        self.reveal(&mut table);
        table.retain(|_, section| section.as_table().is_none_or(|section| !section.is_empty()));
        Ok(toml::to_string(&table)?)
    }

    /// Secrets were written as `***`.
    fn reveal(&self, table: &mut Table) {
        let mut put = |section: &str, key: &str, value: Value| {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Some(inner) = inner.as_table_mut() {
                inner.insert(key.to_owned(), value);
            }
        };
        let plain = |secret: &Hidden| Value::String(secret.reveal().to_owned());
        put("database", "url", plain(&self.database.url));
        if let Some(key) = &self.auth.signing_key {
            put("auth", "signing_key", plain(key));
        }
        if let Some(url) = &self.cache.redis_url {
            put("cache", "redis_url", plain(url));
        }
        if !self.storage.options.is_empty() {
            let options = self.storage.options.iter().map(|(key, value)| (key.clone(), plain(value)));
            put("storage", "options", Value::Table(options.collect()));
        }
    }
}

fn table(config: &Config) -> anyhow::Result<Table> {
    Ok(toml::to_string(config)?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let mut config = Config::default();
        config.database.url = Hidden::new("sqlite:///data/catalog.db".into());
        config.storage.options.insert("key".into(), Hidden::new("of the store".into()));
        config.cache.redis_url = Some(Hidden::new("redis://:word@cache".into()));
        config.server.threads = 3;
        let text = config.to_toml().unwrap();
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(read.database.url.reveal(), "sqlite:///data/catalog.db");
        assert_eq!(read.storage.options["key"].reveal(), "of the store");
        assert_eq!(read.server.threads, 3);
        assert_eq!(read.to_toml().unwrap(), text);
        assert!(!text.contains("head_bytes"), "{text}");
    }
}
