//! One fill a key at a time: whoever asks meanwhile waits for the same one.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{Page, QueryError};

pub(crate) type Outcome = Result<Arc<Page>, QueryError>;
/// A fill that several may wait for.
pub(crate) type Flight = Shared<BoxFuture<'static, Outcome>>;

/// The fills under way.
#[derive(Default)]
pub(super) struct Flights {
    /// Fills with a task of their own.
    under_way: Mutex<HashMap<[u8; 32], Flight>>,
    /// Fills driven by those who wait, and dropped with the last of them.
    driven: Mutex<HashMap<[u8; 32], WeakShared<BoxFuture<'static, Outcome>>>>,
}

impl Flights {
    /// Waits for the fill of `key`, starting `fill` as a task of `runtime` if there is none; `keep` sees the page before the flight ends,
    /// so that nobody finds neither.
    pub(super) async fn join<F, K>(
        self: &Arc<Self>,
        key: [u8; 32],
        runtime: &Handle,
        fill: F,
        keep: K,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
        K: FnOnce(&Arc<Page>) + Send + 'static,
    {
        let flight = {
            let mut under_way = self.under_way.lock();
            match under_way.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.start(key, runtime, fill, keep);
                    under_way.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    /// The fill of `key` that goes on only as long as somebody waits for it; `keep` sees the page before the flight ends.
    pub(super) fn drive<F, K>(self: &Arc<Self>, key: [u8; 32], fill: F, keep: K) -> Flight
    where
        F: Future<Output = Outcome> + Send + 'static,
        K: FnOnce(&Arc<Page>) + Send + 'static,
    {
        let mut driven = self.driven.lock();
        if let Some(flight) = driven.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        let landing = Landing { flights: Arc::clone(self), key };
        let flight = async move {
            let _landing = landing;
            let page = fill.await?;
            keep(&page);
            Ok(page)
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            driven.insert(key, weak);
        }
        flight
    }

    fn start<F, K>(self: &Arc<Self>, key: [u8; 32], runtime: &Handle, fill: F, keep: K) -> Flight
    where
        F: Future<Output = Outcome> + Send + 'static,
        K: FnOnce(&Arc<Page>) + Send + 'static,
    {
        let landing = Landing { flights: Arc::clone(self), key };
        let task = runtime.spawn(async move {
            let _landing = landing;
            let page = fill.await?;
            keep(&page);
            Ok(page)
        });
        async move { task.await.unwrap_or_else(|died| Err(QueryError::engine(died))) }.boxed().shared()
    }
}

/// Takes the flight off the list however its task ends, a panic included.
struct Landing {
    flights: Arc<Flights>,
    key: [u8; 32],
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
        self.flights.driven.lock().remove(&self.key);
    }
}
