//! Token buckets, many at once: one atomic number each, no lock on the way of a known key.
//!
//! A bucket is kept as the moment when it will be full again (the generic cell rate algorithm): taking moves the moment
//! later, time alone brings it nearer, and nothing has to be refilled by anybody.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

const SHARDS: usize = 16;
/// Buckets kept a shard; the full ones go first.
const MAX_PER_SHARD: usize = 8_192;

/// How much may be taken: `capacity` at once, then one every `interval_ns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub capacity: u32,
    interval_ns: u64,
}

impl Rate {
    pub fn per_minute(count: u32) -> Self {
        let capacity = count.max(1);
        Self { capacity, interval_ns: 60_000_000_000 / u64::from(capacity) }
    }

    /// Nanoseconds in which `count` come back; never more than the whole bucket.
    fn worth(self, count: u32) -> u64 {
        self.interval_ns * u64::from(count.min(self.capacity))
    }

    /// An empty bucket holds one again once no more than this is missing.
    pub fn all_but_one(self) -> Duration {
        Duration::from_nanos(self.worth(self.capacity - 1))
    }

    fn state(self, missing_ns: u64) -> Level {
        let room_ns = self.worth(self.capacity).saturating_sub(missing_ns);
        Level { left: (room_ns / self.interval_ns) as u32, full_in: Duration::from_nanos(missing_ns) }
    }
}

/// What is in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub left: u32,
    pub full_in: Duration,
}

/// Not enough is in the bucket; `retry_in` later it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Empty {
    pub level: Level,
    pub retry_in: Duration,
}

/// When the bucket is full, in nanoseconds since `Buckets::start`.
struct Bucket(AtomicU64);

impl Bucket {
    fn take(&self, cost: u32, now: u64, rate: Rate) -> Result<Level, Empty> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let missing = full_at.saturating_sub(now);
            if cost == 0 {
                return Ok(rate.state(missing));
            }
            let after = missing + rate.worth(cost);
            if let Some(over) = after.checked_sub(rate.worth(rate.capacity)).filter(|over| *over > 0) {
                return Err(Empty { level: rate.state(missing), retry_in: Duration::from_nanos(over) });
            }
            match self.0.compare_exchange_weak(full_at, now + after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(rate.state(after)),
                Err(other) => full_at = other,
            }
        }
    }

    fn give(&self, count: u32, rate: Rate) {
        let back = |full_at: u64| Some(full_at.saturating_sub(rate.worth(count)));
        // The closure never gives `None`, so there is no error to look at.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }
}

/// One bucket a key, made when first asked for.
pub(crate) struct Buckets<K> {
    rate: Rate,
    start: Instant,
    hasher: RandomState,
    shards: [RwLock<HashMap<K, Bucket>>; SHARDS],
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    pub fn new(rate: Rate) -> Self {
        let shards = std::array::from_fn(|_| RwLock::default());
        Self { rate, start: Instant::now(), hasher: RandomState::new(), shards }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes `cost` (0 only looks; more than the bucket holds is as much as it holds).
    pub fn take(&self, key: &K, cost: u32, now: Instant) -> Result<Level, Empty> {
        let now = self.nanos(now);
        let shard = self.shard(key);
        if let Some(bucket) = shard.read().get(key) {
            return bucket.take(cost, now, self.rate);
        }
        if cost == 0 {
            return Ok(self.rate.state(0));
        }
        let mut shard = shard.write();
        if shard.len() >= MAX_PER_SHARD {
            make_room(&mut shard, now);
        }
        shard.entry(*key).or_insert_with(|| Bucket(AtomicU64::new(now))).take(cost, now, self.rate)
    }

    /// Gives back what was taken and not used.
    pub fn give(&self, key: &K, count: u32) {
        if let Some(bucket) = self.shard(key).read().get(key) {
            bucket.give(count, self.rate);
        }
    }

    /// Forgets the full ones: they are what a new one would be.
    pub fn sweep(&self, now: Instant) {
        let now = self.nanos(now);
        for shard in &self.shards {
            shard.write().retain(|_, bucket| *bucket.0.get_mut() > now);
        }
    }

    fn shard(&self, key: &K) -> &RwLock<HashMap<K, Bucket>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_nanos() as u64
    }
}

/// Bounded memory goes before a perfect count: where nobody's bucket is full, all begin anew.
fn make_room<K: Eq + Hash>(shard: &mut HashMap<K, Bucket>, now: u64) {
    shard.retain(|_, bucket| *bucket.0.get_mut() > now);
    if shard.len() >= MAX_PER_SHARD {
        shard.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute_of(count: u32) -> (Buckets<u32>, Instant) {
        (Buckets::new(Rate::per_minute(count)), Instant::now() + Duration::from_secs(1))
    }

    #[test]
    fn a_bucket_gives_a_minutes_worth_and_then_fills_steadily() {
        let (buckets, now) = minute_of(60);
        for left in (0..60).rev() {
            assert_eq!(buckets.take(&1, 1, now).unwrap().left, left);
        }
        assert_eq!(buckets.take(&1, 1, now).unwrap_err().retry_in, Duration::from_secs(1));
        assert!(buckets.take(&1, 1, now + Duration::from_millis(900)).is_err());
        assert!(buckets.take(&1, 1, now + Duration::from_secs(1)).is_ok());
        assert!(buckets.take(&2, 1, now).is_ok(), "another key has its own");
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (buckets, now) = minute_of(10);
        buckets.take(&1, 8, now).unwrap();
        assert_eq!(buckets.take(&1, 5, now).unwrap_err().level.left, 2);
        assert_eq!(buckets.take(&1, 2, now).unwrap().left, 0);
    }

    #[test]
    fn a_cost_beyond_the_bucket_takes_all_of_it() {
        let (buckets, now) = minute_of(10);
        assert_eq!(buckets.take(&1, 1_000, now).unwrap().left, 0);
    }

    #[test]
    fn looking_costs_nothing_and_giving_back_never_overfills() {
        let (buckets, now) = minute_of(10);
        assert_eq!(buckets.take(&1, 0, now).unwrap().left, 10);
        buckets.take(&1, 4, now).unwrap();
        assert_eq!(buckets.take(&1, 0, now).unwrap().left, 6);
        buckets.give(&1, 4);
        buckets.give(&1, 9);
        assert_eq!(buckets.take(&1, 0, now).unwrap().left, 10);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (buckets, now) = minute_of(60);
        buckets.take(&1, 1, now).unwrap();
        buckets.sweep(now);
        assert_eq!(buckets.take(&1, 0, now).unwrap().left, 59);
        buckets.sweep(now + Duration::from_secs(2));
        assert!(buckets.shards.iter().all(|shard| shard.read().is_empty()));
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let (buckets, now) = minute_of(1_000);
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..500).filter(|_| buckets.take(&1, 1, now).is_ok()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }
}
