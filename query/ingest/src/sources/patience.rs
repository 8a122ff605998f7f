//! How somebody else's service is asked: with a pause between two requests, and a few times where it fails.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::SourceError;

/// How often one call is tried, the first time included.
const TRIES: u32 = 3;
/// A service that wants more patience than this is asked again at the source's next turn.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The manners of one source.
pub struct Patience {
    pause: Duration,
    /// When the next request may go out.
    next: Mutex<Instant>,
}

impl Patience {
    /// At least `pause` between two requests.
    pub fn new(pause: Duration) -> Self {
        Self { pause, next: Mutex::new(Instant::now()) }
    }

    /// The answer to one call, which is made again after a wait where the service cannot answer now.
    /// - Errors: the last one, after [`TRIES`] tries or when the service asks for more patience.
    pub async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, SourceError>>,
    {
        let mut tried = 1;
        loop {
            self.be_polite().await;
            let failed = match call().await {
                Err(e @ SourceError::Unavailable { .. }) if tried < TRIES => e,
                answered => return answered,
            };
            let wait = wait(&failed, tried);
            if wait > LONGEST_WAIT {
                return Err(failed);
            }
            tracing::debug!(tried, ?wait, "a service is asked again: {failed}");
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }

    async fn be_polite(&self) {
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + self.pause;
    }
}

/// What the service asks for; else half a second, two, … each with up to half of it on top.
fn wait(failed: &SourceError, tried: u32) -> Duration {
    let own = || Duration::from_millis(500 * 4_u64.pow(tried - 1));
    failed.patience().unwrap_or_else(|| own().mul_f64(1.0 + rand::random::<f64>() / 2.0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// How often a service is called that fails so often, and whether the call succeeds.
    async fn called(failures: u32, retry_after_secs: Option<u64>) -> (u32, bool) {
        let calls = AtomicU32::new(0);
        let call = || async {
            match calls.fetch_add(1, Ordering::Relaxed) < failures {
                true => Err(SourceError::Unavailable { reason: String::new(), retry_after_secs }),
                false => Ok(()),
            }
        };
        let done = Patience::new(Duration::ZERO).call(call).await.is_ok();
        (calls.into_inner(), done)
    }

    #[tokio::test]
    async fn a_call_is_tried_three_times_and_not_before_the_service_wants_it() {
        assert_eq!(called(1, Some(0)).await, (2, true));
        assert_eq!(called(9, Some(0)).await, (3, false));
        assert_eq!(called(1, Some(60)).await, (1, false));
    }
}
