//! Metric handles, registered once: the request path only adds to atomics.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

const SECONDS: &str = "lakefront_http_request_seconds";
const BUCKETS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    60.0,
];

/// Every counter of the process, whichever room counts it, and what it tells.
const COUNTERS: &[(&str, &str)] = &[
    ("lakefront_http_requests_total", "Answers by method, route and class of status"),
    ("lakefront_panics_total", "Handlers that ended in a panic, answered with 500"),
    ("lakefront_connections_broken_total", "Connections that ended with an error of the transport"),
    ("lakefront_access_log_dropped_total", "Lines of the access log dropped because its buffer was full"),
    ("lakefront_result_cache_total", "Cacheable answers: hit, miss, or revalidated (304)"),
    ("lakefront_shared_cache_reads_total", "Reads of the cache that nodes share, by outcome"),
    ("lakefront_worker_tasks_total", "Tasks of worker processes by kind and outcome"),
    ("lakefront_source_rows_total", "Rows that landed in a source's tables"),
    ("lakefront_source_failures_total", "Turns of a source that failed"),
    ("lakefront_source_set_aside_total", "Files of a source that could not be read and were set aside"),
    (
        "lakefront_source_messages_set_aside_total",
        "Messages of a stream that are no events and were set aside",
    ),
    ("lakefront_source_repeated_total", "Events of a topic whose id was in the table already"),
    ("lakefront_model_failures_total", "Runs of a model that failed"),
    ("lakefront_alerts_total", "Alerts raised, by kind"),
    ("lakefront_upkeep_failures_total", "Rounds of a table's upkeep that failed"),
];
const GAUGES: &[(&str, &str)] = &[
    ("lakefront_connections", "Open connections"),
    ("lakefront_model_failing", "1 for a model whose last run failed, 0 for one in order"),
    ("lakefront_worker_processes", "Worker processes by state"),
    ("lakefront_worker_queue_length", "Callers who wait for a worker process"),
    (RESIDENT, "Resident memory of the gateway process, without its workers"),
    ("lakefront_build_info", "1, with the version of the program"),
];
const RESIDENT: &str = "lakefront_process_resident_bytes";

/// Installs the recorder of the process and the task that keeps it small. Call inside a runtime, once.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), BUCKETS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("a metrics recorder is already installed");
    }
    describe();
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

fn describe() {
    COUNTERS.iter().for_each(|(name, help)| describe_counter!(*name, *help));
    GAUGES.iter().for_each(|(name, help)| describe_gauge!(*name, *help));
    describe_histogram!(SECONDS, "Time to the answer's head by method and route");
    gauge!("lakefront_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Reads what the system knows of the process; for the moment before the counters are told.
pub fn sample() {
    if let Some(bytes) = resident() {
        gauge!(RESIDENT).set(bytes);
    }
}

fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0)
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

/// Where cacheable answers came from.
pub struct CacheMeters {
    pub hit: Counter,
    pub miss: Counter,
    pub revalidated: Counter,
}

impl CacheMeters {
    /// Registers them.
    pub fn new() -> Self {
        let outcome = |outcome: &'static str| counter!("lakefront_result_cache_total", "outcome" => outcome);
        Self { hit: outcome("hit"), miss: outcome("miss"), revalidated: outcome("revalidated") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_of_this_process_is_known() {
        assert!(resident().is_some_and(|bytes| bytes > 1e6));
    }
}
