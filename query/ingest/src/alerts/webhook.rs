//! Tells the configured address of each alert, again and again until it has taken it or the attempts are used up.
//!
//! ```text
//! POST url   Lakefront-Alert: <id>   Lakefront-Timestamp: <seconds>   Lakefront-Signature: v1=<hex>   body: JSON
//! ```
//! A receiver checks the signature over `<timestamp>.<body>`, drops what is old, and knows a repetition by its id.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Alert, Catalog};
use chrono::{DateTime, TimeDelta, Utc};
use identity::Secret;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, redirect};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::sign::signature;
use crate::sources::SourceError;
use crate::sources::weather::Guard;

/// Alerts told in one go.
const AT_ONCE: i64 = 10;
/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);
/// The longest time between two attempts.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Whom to tell, and how patiently.
pub struct WebhookConfig {
    pub url: Url,
    /// Signs every call.
    pub secret: Secret,
    /// Whether the address may be of this machine or a private network.
    pub allow_private: bool,
    pub attempts: u32,
    /// Before the second attempt; four times as long before each further one.
    pub retry: Duration,
    pub timeout: Duration,
}

/// Tells one address.
pub struct Webhook {
    config: WebhookConfig,
    http: Client,
    guard: Guard,
    catalog: Catalog,
}

impl Webhook {
    /// Errors: [`SourceError::NotAllowed`] for an address that must not be called.
    pub fn new(config: WebhookConfig, catalog: Catalog) -> Result<Self, SourceError> {
        let guard = Guard::new(&[&config.url], config.allow_private);
        guard.check(&config.url)?;
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(guard.clone()))
            .no_proxy()
            .timeout(config.timeout)
            .user_agent(concat!("lakefront/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| SourceError::refused(format!("no HTTP client: {e}")))?;
        Ok(Self { config, http, guard, catalog })
    }

    /// Tells what there is to tell, each second until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.tell_all(Utc::now()).await {
                tracing::warn!(%error, "alerts cannot be looked at now");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// One look. Errors: the catalog's.
    pub async fn tell_all(&self, now: DateTime<Utc>) -> Result<(), catalog::Error> {
        // For as long as it may take, nobody else tells the same.
        let patience = self.config.timeout * u32::try_from(AT_ONCE).unwrap_or(1) + Duration::from_secs(5);
        for alert in self.catalog.alerts().due(AT_ONCE, patience, now).await? {
            match self.tell(&alert, Utc::now()).await {
                Ok(()) => self.catalog.alerts().sent(alert.id, Utc::now()).await?,
                Err(reason) => self.later(&alert, &reason, Utc::now()).await?,
            }
        }
        Ok(())
    }

    async fn tell(&self, alert: &Alert, now: DateTime<Utc>) -> Result<(), String> {
        self.guard.check(&self.config.url).map_err(|e| e.to_string())?;
        let mut body = alert.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("id".into(), alert.id.to_string().into());
        }
        let body = body.to_string();
        let timestamp = now.timestamp();
        let signed = signature(self.config.secret.expose().as_bytes(), timestamp, body.as_bytes());
        let request = self
            .http
            .post(self.config.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("lakefront-alert", alert.id.to_string())
            .header("lakefront-timestamp", timestamp)
            .header("lakefront-signature", signed);
        // The address may hold a token, so it is not in the words.
        let answer = request.body(body).send().await.map_err(|e| e.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("status {}", answer.status())) }
    }

    async fn later(&self, alert: &Alert, reason: &str, now: DateTime<Utc>) -> Result<(), catalog::Error> {
        let attempts = u32::try_from(alert.attempts).unwrap_or(u32::MAX);
        let next = (attempts < self.config.attempts).then(|| now + wait(self.config.retry, attempts));
        tracing::warn!(
            kind = alert.kind,
            subject = alert.subject,
            reason,
            dead = next.is_none(),
            "an alert is not taken"
        );
        self.catalog.alerts().failed(alert.id, reason, next, now).await
    }
}

/// How long after the attempt of that number the next one is.
fn wait(first: Duration, attempt: u32) -> TimeDelta {
    let longer = first.saturating_mul(4_u32.saturating_pow(attempt.saturating_sub(1)));
    TimeDelta::from_std(longer.min(LONGEST)).unwrap_or(TimeDelta::hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_further_and_further_apart() {
        let waits: Vec<i64> =
            (1..=8).map(|attempt| wait(Duration::from_secs(2), attempt).num_seconds()).collect();
        assert_eq!(waits, [2, 8, 32, 128, 512, 2_048, 3_600, 3_600]);
    }

    #[tokio::test]
    async fn a_private_address_is_not_called_unless_it_may_be() {
        let scratch = database::testing::Scratch::sqlite().await;
        scratch.migrate().await.unwrap();
        let catalog = Catalog::open((*scratch).clone(), catalog::Config::default()).await.unwrap();
        let config = |allow_private| WebhookConfig {
            url: "http://127.0.0.1:9/hook".parse().unwrap(),
            secret: Secret::new("a long enough secret"),
            allow_private,
            attempts: 3,
            retry: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        assert!(matches!(Webhook::new(config(false), catalog.clone()), Err(SourceError::NotAllowed { .. })));
        assert!(Webhook::new(config(true), catalog).is_ok());
    }
}
