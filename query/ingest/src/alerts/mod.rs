//! Alerts: what somebody must know (query/ingest/src/alerts).
//!
//! ```text
//! failed test, overdue table, volume jump, batch set aside ─▶ raise ─▶ row in the catalog, one a cause ─▶ webhook
//! ```
//! Absent on purpose: who is told (the configuration names one address), and any second way of telling.

mod sign;
mod watch;
mod webhook;

use catalog::{Catalog, NewAlert, SourceFile, Table};
use chrono::{DateTime, SecondsFormat, Utc};
use identity::TableName;
use serde_json::{Value, json};

pub use watch::overdue;
pub use webhook::{Webhook, WebhookConfig};

/// Something that somebody must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    kind: &'static str,
    subject: String,
    /// What makes it another alert than the last of its kind about the same subject.
    cause: String,
    detail: String,
    more: Value,
}

impl Raised {
    /// A test of a model broke; told once a day for the same words.
    pub fn model_test(model: &TableName, broken: &str, now: DateTime<Utc>) -> Self {
        Self {
            kind: "model-test-failed",
            subject: model.to_string(),
            cause: format!("{}:{broken}", now.date_naive()),
            detail: format!("a test of model {model} fails: {broken}; its table keeps the version it has"),
            more: json!({}),
        }
    }

    /// A table's newest commit is older than was promised; told once for each commit that nothing followed.
    pub fn overdue(table: &Table, sources: &[String]) -> Self {
        let since = table.updated_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self {
            kind: "overdue",
            subject: table.name.to_string(),
            cause: since.clone(),
            detail: format!("{} has had no commit since {since}, longer than was promised", table.name),
            more: json!({"updated_at": since, "sources": sources}),
        }
    }

    /// A batch has many more, or many fewer, rows than usual.
    pub fn volume_jump(source: &str, n: i64, rows: u64, usual: f64) -> Self {
        Self {
            kind: "volume-jump",
            subject: source.to_string(),
            cause: n.to_string(),
            detail: format!("batch {n} of source {source} has {rows} rows, where about {usual:.0} are usual"),
            more: json!({"batch": n, "rows": rows, "usual_rows": usual.round()}),
        }
    }

    /// A file could not be used and was set aside; told once for each content of it.
    pub fn set_aside(source: &str, file: &SourceFile) -> Self {
        let SourceFile { name, sha256, size, n, .. } = file;
        let reason = file.refused.as_deref().unwrap_or_default();
        Self {
            kind: "batch-set-aside",
            subject: source.to_string(),
            cause: format!("{name}\n{sha256}\n{}", size.unwrap_or_default()),
            detail: format!("the file `{name}` of source {source} is set aside: {reason}"),
            more: json!({"batch": n, "file": name, "reason": reason}),
        }
    }

    /// Messages of a stream were no events and were set aside; told once a day.
    pub fn messages_set_aside(source: &str, reason: &str, path: &str, now: DateTime<Utc>) -> Self {
        Self {
            kind: "batch-set-aside",
            subject: source.to_string(),
            cause: format!("messages of {}", now.date_naive()),
            detail: format!("messages of source {source} are set aside in {path}: {reason}"),
            more: json!({"path": path, "reason": reason}),
        }
    }

    /// What comes next in a stream is no longer there: something is missing between what the table has and what will come.
    /// - `reason`: up to its colon it is the same as long as the gap is; told once for that.
    pub fn gap(source: &str, reason: &str) -> Self {
        Self {
            kind: "stream-gap",
            subject: source.to_string(),
            cause: reason.split(':').next().unwrap_or(reason).to_string(),
            detail: format!("the stream of source {source} has a gap: {reason}"),
            more: json!({}),
        }
    }

    fn alert(self, now: DateTime<Utc>) -> NewAlert {
        let Self { kind, subject, cause, detail, more } = self;
        let key = crate::sources::digest(format!("{kind}\n{subject}\n{cause}").as_bytes());
        let mut body = json!({"kind": kind, "subject": subject, "detail": detail,
                              "raised_at": now.to_rfc3339_opts(SecondsFormat::Secs, true)});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        NewAlert { key, kind: kind.to_string(), subject, body }
    }
}

/// Raises an alert, once a cause. What the catalog does not take is in the log alone.
pub async fn raise(catalog: &Catalog, raised: Raised, now: DateTime<Utc>) {
    let (kind, detail) = (raised.kind, raised.detail.clone());
    match catalog.alerts().raise(&raised.alert(now), now).await {
        Ok(true) => {
            tracing::warn!(kind, detail, "an alert");
            metrics::counter!("lakefront_alerts_total", "kind" => kind).increment(1);
        }
        Ok(false) => {}
        Err(error) => tracing::error!(kind, detail, %error, "an alert could not be kept"),
    }
}
