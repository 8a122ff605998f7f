//! The result cache: final bytes under a key that names everything behind them.
//!
//! ```text
//! Tag ─▶ hit: a copy of the page
//!     └▶ miss: Flights ─ one fill a key ─▶ Shared (another node's page?) ─▶ fill ─▶ page ─▶ kept if it is small enough
//! ```
//! Nothing is ever invalidated: another version makes another key. Rights are checked before anyone comes here. Absent on purpose: time to
//! live, and any stale answer.

mod flights;
mod shared;
mod tag;

use std::sync::Arc;

pub use tag::{Tag, TagBuilder};

use futures::FutureExt;

use crate::{Answer, Page, QueryError};
pub(crate) use flights::Flight;
use flights::Flights;
pub(crate) use shared::Shared;

/// Finished pages, bounded by bytes.
#[derive(Clone)]
pub struct Cache {
    pages: Option<moka::sync::Cache<[u8; 32], Arc<Page>>>,
    entry_bytes: usize,
    flights: Arc<Flights>,
    shared: Option<Shared>,
}

impl Cache {
    /// A cache of at most `bytes`, keeping pages of at most `entry_bytes` each; with 0 bytes it keeps nothing and only joins equal fills.
    pub fn new(bytes: u64, entry_bytes: usize) -> Self {
        let weigh = |_: &[u8; 32], page: &Arc<Page>| u32::try_from(page.weight()).unwrap_or(u32::MAX);
        let pages =
            (bytes > 0).then(|| moka::sync::Cache::builder().max_capacity(bytes).weigher(weigh).build());
        Self { pages, entry_bytes, flights: Arc::default(), shared: None }
    }

    /// The same before a second tier that other nodes fill too.
    #[must_use]
    pub(crate) fn before(self, shared: Option<Shared>) -> Self {
        Self { shared, ..self }
    }

    /// The page under `tag`, if it is there.
    pub fn get(&self, tag: &Tag) -> Option<Arc<Page>> {
        self.pages.as_ref()?.get(&tag.key)
    }

    /// The page under `tag`, made by `fill` on `runtime` if nobody made or is making it. A fill outlives the caller who started it.
    /// Errors are those of the fill, told to all who waited, and not kept.
    pub async fn answer<F>(
        &self,
        tag: &Tag,
        runtime: &tokio::runtime::Handle,
        fill: F,
    ) -> Result<Answer, QueryError>
    where
        F: Future<Output = Result<Page, QueryError>> + Send + 'static,
    {
        if let Some(page) = self.get(tag) {
            return Ok(Answer { page, hit: true });
        }
        let (kept, key) = (self.clone(), tag.key);
        let keep = move |page: &Arc<Page>| kept.keep(key, page);
        let page = self.flights.join(key, runtime, self.clone().through(key, fill), keep).await?;
        Ok(Answer { page, hit: false })
    }

    /// The fill under `tag` that is driven by those who wait for it and stops with the last of them. With `shared` an equal fill under way
    /// is joined and the page kept; without, neither.
    pub(crate) fn fly<F>(&self, tag: &Tag, shared: bool, fill: F) -> Flight
    where
        F: Future<Output = Result<Page, QueryError>> + Send + 'static,
    {
        if !shared {
            return async move { fill.await.map(Arc::new) }.boxed().shared();
        }
        if let Some(page) = self.get(tag) {
            return async move { Ok(page) }.boxed().shared();
        }
        let (kept, key) = (self.clone(), tag.key);
        self.flights.drive(key, self.clone().through(key, fill), move |page| kept.keep(key, page))
    }

    /// Another node's page, or that of `fill`, which the others may have then.
    async fn through<F>(self, key: [u8; 32], fill: F) -> Result<Arc<Page>, QueryError>
    where
        F: Future<Output = Result<Page, QueryError>> + Send + 'static,
    {
        let Some(shared) = &self.shared else { return fill.await.map(Arc::new) };
        if let Some(page) = shared.get(&key).await {
            return Ok(Arc::new(page));
        }
        let page = Arc::new(fill.await?);
        if page.body.len() <= self.entry_bytes {
            shared.put(key, Arc::clone(&page));
        }
        Ok(page)
    }

    fn keep(&self, key: [u8; 32], page: &Arc<Page>) {
        if let Some(pages) = self.pages.as_ref().filter(|_| page.body.len() <= self.entry_bytes) {
            pages.insert(key, Arc::clone(page));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{Facts, Format};

    fn page(size: usize) -> Page {
        Page::new(Bytes::from(vec![b'x'; size]), Format::Json, "\"t\"".into(), Facts::default())
    }

    fn tag(name: &str) -> Tag {
        TagBuilder::new(name, "default", Format::Json).finish()
    }

    #[tokio::test]
    async fn equal_questions_are_answered_once() {
        let (cache, runs) = (Cache::new(1 << 20, 1 << 19), Arc::new(AtomicUsize::new(0)));
        let here = tokio::runtime::Handle::current();
        let asks = (0..32).map(|_| {
            let (cache, runs, here) = (cache.clone(), Arc::clone(&runs), here.clone());
            async move {
                let fill = async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(page(10))
                };
                cache.answer(&tag("a"), &here, fill).await.unwrap()
            }
        });
        futures::future::join_all(asks).await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(cache.get(&tag("a")).is_some());
        assert!(cache.get(&tag("b")).is_none());
    }

    #[tokio::test]
    async fn a_fill_outlives_its_caller() {
        let cache = Cache::new(1 << 20, 1 << 19);
        let here = tokio::runtime::Handle::current();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(page(10))
        };
        let left = tokio::time::timeout(Duration::from_millis(5), cache.answer(&tag("a"), &here, slow)).await;
        assert!(left.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(cache.get(&tag("a")).is_some());
    }

    #[tokio::test]
    async fn a_driven_fill_stops_with_the_last_who_waits() {
        let (cache, ended) = (Cache::new(1 << 20, 1 << 19), Arc::new(AtomicUsize::new(0)));
        let slow = |ended: Arc<AtomicUsize>| async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(page(10))
        };
        let one = cache.fly(&tag("a"), true, slow(Arc::clone(&ended)));
        let two = cache.fly(&tag("a"), true, slow(Arc::clone(&ended)));
        drop(one);
        assert!(two.await.is_ok());
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        let left = cache.fly(&tag("b"), true, slow(Arc::clone(&ended)));
        assert!(tokio::time::timeout(Duration::from_millis(5), left).await.is_err());
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn big_pages_failures_and_panics_are_not_kept() {
        let cache = Cache::new(1 << 20, 100);
        let here = tokio::runtime::Handle::current();
        assert!(cache.answer(&tag("big"), &here, async { Ok(page(101)) }).await.is_ok());
        assert!(cache.get(&tag("big")).is_none());
        let failing = async { Err(QueryError::unknown_table("x")) };
        assert!(cache.answer(&tag("bad"), &here, failing).await.is_err());
        let panicking = async { std::panic::panic_any("on purpose") };
        assert!(matches!(cache.answer(&tag("bad"), &here, panicking).await, Err(QueryError::Engine(_))));
        assert!(cache.answer(&tag("bad"), &here, async { Ok(page(1)) }).await.is_ok());
    }
}
