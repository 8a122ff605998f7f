//! Metric handles, registered once: the request path only adds to atomics.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

const SECONDS: &str = "lakefront_http_request_seconds";
const BUCKETS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    60.0,
];

/// Installs the recorder of the process and the task that keeps it small. Call inside a runtime, once.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), BUCKETS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("a metrics recorder is already installed");
    }
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// The meters of one route.
pub struct RouteMeters {
    by_class: [Counter; 5],
    seconds: Histogram,
}

impl RouteMeters {
    /// Registers the meters of a route.
    pub fn new(method: &str, template: &'static str) -> Self {
        let class = |class: &'static str| counter!("lakefront_http_requests_total", "method" => method.to_owned(), "route" => template, "status" => class);
        Self {
            by_class: [class("1xx"), class("2xx"), class("3xx"), class("4xx"), class("5xx")],
            seconds: histogram!(SECONDS, "method" => method.to_owned(), "route" => template),
        }
    }

    /// Counts one answer.
    pub fn count(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.by_class[class].increment(1);
        self.seconds.record(took);
    }
}

/// The meters of the server as a whole.
pub struct ServerMeters {
    pub unrouted: RouteMeters,
    pub panics: Counter,
    pub connections: Gauge,
    pub refused_connections: Counter,
}

impl ServerMeters {
    /// Registers them.
    pub fn new() -> Self {
        Self {
            unrouted: RouteMeters::new("", "unmatched"),
            panics: counter!("lakefront_panics_total"),
            connections: gauge!("lakefront_connections"),
            refused_connections: counter!("lakefront_connections_broken_total"),
        }
    }
}
