//! Redis as a cache that nodes share: its absence, slowness or nonsense is never an error, only a miss.
//!
//! ```text
//! call ─▶ breaker closed? ─▶ at most 30 ms ─▶ answer            three failures ─▶ open for 5 s: misses at once
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Cmd, FromRedisValue};

/// No call takes longer.
const CALL: Duration = Duration::from_millis(30);
const CONNECT: Duration = Duration::from_millis(200);
/// Failures in a row that open the breaker.
const FAILURES: u64 = 3;
const OPEN: Duration = Duration::from_secs(5);

/// A Redis server. Cheap to clone: all clones share one connection.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    breaker: Arc<Breaker>,
}

/// The URL is not one of Redis; it may hold a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("the Redis URL cannot be read")]
pub struct InvalidRedisUrl;

impl Redis {
    /// Prepares a connection to `redis://[user:password@]host:port[/db]`; it is made at the first call, so that a node starts without
    /// Redis. Call it inside a runtime. Errors: the URL cannot be read.
    pub fn new(url: &str) -> Result<Self, InvalidRedisUrl> {
        let client = Client::open(url).map_err(|_| InvalidRedisUrl)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_secs(1))
            .set_response_timeout(Some(CALL))
            .set_connection_timeout(Some(CONNECT));
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(|_| InvalidRedisUrl)?;
        Ok(Self { connection, breaker: Arc::default() })
    }

    /// The bytes under `key`; `None` where there are none, or no answer in time.
    pub async fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.call(Cmd::new().arg("GET").arg(key)).await.flatten()
    }

    /// Keeps `value` under `key` for `life`; lost where the server does not answer in time.
    pub async fn set(&self, key: &[u8], value: &[u8], life: Duration) {
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let _: Option<()> = self.call(Cmd::new().arg("SET").arg(key).arg(value).arg("PX").arg(millis)).await;
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if self.breaker.is_open() {
            return None;
        }
        let mut connection = self.connection.clone();
        let answer = tokio::time::timeout(CALL, command.query_async(&mut connection)).await;
        let answer = answer.ok().and_then(Result::ok);
        self.breaker.note(answer.is_some());
        answer
    }
}

/// Counts failures in a row, and keeps callers away for a while after the third.
struct Breaker {
    born: Instant,
    failures: AtomicU64,
    /// Milliseconds after `born` until which it is open.
    open_until: AtomicU64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { born: Instant::now(), failures: AtomicU64::new(0), open_until: AtomicU64::new(0) }
    }
}

impl Breaker {
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_open(&self) -> bool {
        self.now() < self.open_until.load(Ordering::Relaxed)
    }

    fn note(&self, answered: bool) {
        if answered {
            self.failures.store(0, Ordering::Relaxed);
        } else if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            let until = self.now() + u64::try_from(OPEN.as_millis()).unwrap_or(u64::MAX);
            self.open_until.store(until, Ordering::Relaxed);
            tracing::warn!(seconds = OPEN.as_secs(), "Redis does not answer; going on without it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_away_costs_three_short_waits() {
        let redis = Redis::new("redis://127.0.0.1:1/").unwrap();
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(redis.get(b"key").await, None);
            redis.set(b"key", b"value", Duration::from_secs(1)).await;
        }
        assert!(redis.breaker.is_open());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_left_alone() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let redis = Redis::new(&format!("redis://{}/", silent.local_addr().unwrap())).unwrap();
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(redis.get(b"key").await, None);
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused() {
        assert!(Redis::new("http://127.0.0.1").is_err());
    }
}
