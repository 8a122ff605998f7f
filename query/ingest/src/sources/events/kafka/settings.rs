//! How the brokers are spoken to, by the lake's declaration.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::lakefile::{KafkaSpec, Security};
use crate::sources::SourceError;
use crate::sources::secret::Secret;

/// What both sides have in common; the password is read now.
/// - Errors: [`SourceError::Refused`] where the secret is not there.
pub fn common(spec: &KafkaSpec) -> Result<ClientConfig, SourceError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", spec.servers.join(","))
        .set("client.id", "lakefront")
        .set("security.protocol", protocol(spec.security))
        .set("socket.timeout.ms", "5000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("reconnect.backoff.max.ms", "2000");
    if let (Some(user), Some(password)) = (&spec.user, &spec.password) {
        config.set("sasl.mechanism", spec.mechanism.as_deref().unwrap_or("PLAIN"));
        config.set("sasl.username", user).set("sasl.password", Secret::read(password)?.reveal());
    }
    if let Some(file) = &spec.ca_file {
        config.set("ssl.ca.location", file.display().to_string());
    }
    Ok(config)
}

fn protocol(security: Security) -> &'static str {
    match security {
        Security::Plaintext => "plaintext",
        Security::Tls => "ssl",
        Security::Login => "sasl_plaintext",
        Security::LoginTls => "sasl_ssl",
    }
}

/// Whole milliseconds, as the client's settings are written.
pub fn millis(period: Duration) -> String {
    period.as_millis().to_string()
}

/// A client that cannot be made by its settings. Errors do not repeat them.
pub fn unmade(error: &KafkaError) -> SourceError {
    let reason = match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        other => other.to_string(),
    };
    SourceError::refused(format!("no Kafka client: {reason}"))
}

/// Hears what a client says by itself: its last trouble is what an operator wants to read. Clones hear the same.
#[derive(Clone, Default)]
pub struct Ear(Arc<Mutex<Option<String>>>);

impl Ear {
    /// The last trouble, in the client's words.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

impl ClientContext for Ear {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "kafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
        *self.0.lock() = Some(reason.to_owned());
    }
}

impl ConsumerContext for Ear {}
