//! Limits: calls a key and a workspace, and wrong credentials an address and a key.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use identity::{KeyId, Principal, WorkspaceId};

use crate::bucket::{Buckets, Empty, Level, Rate};
use crate::{Auth, AuthError, LimitConfig};

/// How many busy keys a workspace may have at once: more keys are no more calls.
const KEYS_AT_FULL_RATE: u32 = 4;

/// Name of a key's bucket.
const KEY: &str = "default";
/// Name of the bucket of all keys of a workspace together.
const WORKSPACE: &str = "workspace";

/// What the `RateLimit` headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    /// `default`, a key's; `workspace`, that of all its keys together.
    pub name: &'static str,
    /// How much a full bucket holds.
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until it is full again.
    pub reset_secs: u64,
    /// Seconds until the same call would pass; 0 where it did.
    pub retry_after_secs: u64,
}

impl RateState {
    fn of(name: &'static str, rate: Rate, level: Level, retry_in: Duration) -> Self {
        Self {
            name,
            limit: rate.capacity,
            remaining: level.left,
            reset_secs: whole_secs(level.full_in),
            retry_after_secs: whole_secs(retry_in),
        }
    }
}

fn whole_secs(time: Duration) -> u64 {
    time.as_nanos().div_ceil(1_000_000_000) as u64
}

impl Auth {
    /// Takes `cost` from the buckets of the caller's key and workspace; 0 only looks. Tells of the one that has less. An
    /// error took nothing.
    pub fn admit(&self, caller: &Principal, cost: u32, now: Instant) -> Result<RateState, RateState> {
        self.0.rates.take(caller, cost, now)
    }

    /// Gives back what [`Auth::admit`] took for work that turned out to be free.
    pub fn refund(&self, caller: &Principal, cost: u32) {
        self.0.rates.give(caller, cost);
    }

    /// What the caller has left, of its key's or its workspace's bucket: the one that has less.
    pub fn rate_state(&self, caller: &Principal, now: Instant) -> RateState {
        self.admit(caller, 0, now).unwrap_or_else(|state| state)
    }

    /// The buckets of a caller, by name and calls a minute.
    pub fn policies(&self) -> [(&'static str, u32); 2] {
        let rates = &self.0.rates;
        [(KEY, rates.keys.rate().capacity), (WORKSPACE, rates.workspaces.rate().capacity)]
    }

    /// Counts a wrong credential against its address and the key it claims to be.
    pub fn note_failure(&self, address: IpAddr, claimed: Option<KeyId>) {
        self.0.failures.note(address, claimed, Instant::now());
    }
}

/// Calls, counted under the key and under its workspace: else ten keys would be ten times the limit.
pub(crate) struct Rates {
    keys: Buckets<KeyId>,
    workspaces: Buckets<WorkspaceId>,
}

impl Rates {
    pub fn new(limits: &LimitConfig) -> Self {
        let of_key = limits.requests_per_minute;
        Self {
            keys: Buckets::new(Rate::per_minute(of_key)),
            workspaces: Buckets::new(Rate::per_minute(of_key.saturating_mul(KEYS_AT_FULL_RATE))),
        }
    }

    fn take(&self, caller: &Principal, cost: u32, now: Instant) -> Result<RateState, RateState> {
        let of_key = take(KEY, &self.keys, &caller.key, cost, now)?;
        match take(WORKSPACE, &self.workspaces, &caller.workspace, cost, now) {
            Ok(of_all) if of_all.remaining < of_key.remaining => Ok(of_all),
            Ok(_) => Ok(of_key),
            Err(refused) => {
                self.keys.give(&caller.key, cost);
                Err(refused)
            }
        }
    }

    fn give(&self, caller: &Principal, cost: u32) {
        self.keys.give(&caller.key, cost);
        self.workspaces.give(&caller.workspace, cost);
    }

    pub fn sweep(&self, now: Instant) {
        self.keys.sweep(now);
        self.workspaces.sweep(now);
    }
}

fn take<K: Eq + std::hash::Hash + Copy>(
    name: &'static str,
    buckets: &Buckets<K>,
    key: &K,
    cost: u32,
    now: Instant,
) -> Result<RateState, RateState> {
    let state = |level, retry_in| RateState::of(name, buckets.rate(), level, retry_in);
    match buckets.take(key, cost, now) {
        Ok(level) => Ok(state(level, Duration::ZERO)),
        Err(empty) => Err(state(empty.level, empty.retry_in)),
    }
}

/// Wrong credentials, counted. A bucket refills all the time, so nobody is locked out for long by a neighbour; and a
/// credential that was right before never comes here.
pub(crate) struct Failures {
    addresses: Buckets<u128>,
    keys: Buckets<KeyId>,
    /// Wrong keys of an address without failures left. Apart: whoever fills these changes nothing for those elsewhere.
    compared: Buckets<(u128, KeyId)>,
}

impl Failures {
    pub fn new(limits: &LimitConfig) -> Self {
        Self {
            addresses: Buckets::new(Rate::per_minute(limits.failures_per_address_per_minute)),
            keys: Buckets::new(Rate::per_minute(limits.failures_per_key_per_minute)),
            compared: Buckets::new(Rate::per_minute(limits.failures_per_key_per_minute)),
        }
    }

    /// May this address try this key now? Errors: [`AuthError::TooManyFailures`].
    pub fn check(&self, address: IpAddr, claimed: Option<KeyId>, now: Instant) -> Result<(), AuthError> {
        let of_address = refusal(&self.addresses, &network(address), now);
        let of_key = claimed.and_then(|key| refusal(&self.keys, &key, now));
        match of_address.max(of_key) {
            Some(wait) => Err(AuthError::TooManyFailures { retry_after_secs: whole_secs(wait).max(1) }),
            None => Ok(()),
        }
    }

    /// May an address without failures left show this key, which is compared in memory?
    pub fn may_compare(&self, address: IpAddr, key: KeyId, now: Instant) -> bool {
        let guessed_at = refusal(&self.keys, &key, now);
        guessed_at.or_else(|| refusal(&self.compared, &(network(address), key), now)).is_none()
    }

    /// Counts a key that was compared and is wrong, known or not: both alike.
    pub fn note_compared(&self, address: IpAddr, key: KeyId, now: Instant) {
        // An empty bucket stays empty: the refusal is not news.
        let _ = self.compared.take(&(network(address), key), 1, now);
    }

    pub fn note(&self, address: IpAddr, claimed: Option<KeyId>, now: Instant) {
        // An empty bucket stays empty: the refusal is not news.
        let _ = self.addresses.take(&network(address), 1, now);
        if let Some(key) = claimed {
            let _ = self.keys.take(&key, 1, now);
        }
    }

    pub fn sweep(&self, now: Instant) {
        self.addresses.sweep(now);
        self.keys.sweep(now);
        self.compared.sweep(now);
    }
}

/// How long until one more failure would fit; `None` where it fits now.
fn refusal<K: Eq + std::hash::Hash + Copy>(buckets: &Buckets<K>, key: &K, now: Instant) -> Option<Duration> {
    match buckets.take(key, 0, now) {
        Ok(level) | Err(Empty { level, .. }) if level.left == 0 => {
            Some(level.full_in.saturating_sub(buckets.rate().all_but_one()))
        }
        _ => None,
    }
}

/// An IPv4 address, or the /64 that one IPv6 subscriber has to themself.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited_to(addresses: u32, keys: u32) -> (Failures, Instant) {
        let limits = LimitConfig {
            failures_per_address_per_minute: addresses,
            failures_per_key_per_minute: keys,
            ..LimitConfig::default()
        };
        (Failures::new(&limits), Instant::now() + Duration::from_secs(1))
    }

    #[test]
    fn many_keys_of_a_workspace_have_four_times_the_limit_of_one() {
        let rates = Rates::new(&LimitConfig { requests_per_minute: 10, ..LimitConfig::default() });
        let (now, mut caller) = (Instant::now() + Duration::from_secs(1), crate::testing::principal());
        for key in ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"] {
            caller.key = KeyId::parse(key).unwrap();
            assert_eq!(rates.take(&caller, 10, now).map(|state| state.remaining), Ok(0));
            assert_eq!(rates.take(&caller, 1, now).map_err(|state| state.name), Err("default"));
        }
        caller.key = KeyId::parse("eeeeeeee").unwrap();
        let refused = rates.take(&caller, 1, now).unwrap_err();
        assert_eq!((refused.name, refused.limit, refused.remaining), ("workspace", 40, 0));
        assert_eq!(rates.keys.take(&caller.key, 0, now).unwrap().left, 10, "what is refused costs nothing");
        let seen = rates.take(&caller, 0, now).unwrap();
        assert_eq!((seen.name, seen.remaining), ("workspace", 0), "who only looks sees the lower of the two");
        rates.give(&caller, 10);
        assert!(rates.take(&caller, 10, now).is_ok());
        caller.workspace = WorkspaceId::new();
        caller.key = KeyId::parse("ffffffff").unwrap();
        assert!(rates.take(&caller, 10, now).is_ok(), "another workspace has its own");
    }

    #[test]
    fn an_address_that_fails_too_often_waits() {
        let (failures, now) = limited_to(3, 100);
        let (here, there): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..3 {
            assert!(failures.check(here, None, now).is_ok());
            failures.note(here, None, now);
        }
        let refused = failures.check(here, None, now);
        assert!(matches!(refused, Err(AuthError::TooManyFailures { retry_after_secs: 20 })), "{refused:?}");
        assert!(failures.check(there, None, now).is_ok());
        assert!(failures.check(here, None, now + Duration::from_secs(20)).is_ok());
    }

    #[test]
    fn a_key_that_is_guessed_at_from_everywhere_is_limited_too() {
        let (failures, now) = limited_to(100, 2);
        let key = KeyId::parse("abcdefgh").unwrap();
        for n in 1..=2 {
            failures.note(IpAddr::from([10, 0, 0, n]), Some(key), now);
        }
        assert!(failures.check(IpAddr::from([10, 0, 0, 9]), Some(key), now).is_err());
        assert!(failures.check(IpAddr::from([10, 0, 0, 9]), None, now).is_ok());
    }

    #[test]
    fn keys_compared_at_an_address_without_failures_left_are_limited_each_for_itself() {
        let (failures, now) = limited_to(1, 2);
        let (here, there): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let (guessed, other) = (KeyId::parse("abcdefgh").unwrap(), KeyId::parse("hgfedcba").unwrap());
        for _ in 0..2 {
            assert!(failures.may_compare(here, guessed, now));
            failures.note_compared(here, guessed, now);
        }
        assert!(!failures.may_compare(here, guessed, now));
        assert!(failures.may_compare(here, other, now) && failures.may_compare(there, guessed, now));
        assert!(failures.check(there, Some(guessed), now).is_ok(), "nothing changes elsewhere");
        (0..2).for_each(|_| failures.note(there, Some(other), now));
        assert!(!failures.may_compare(here, other, now), "guessed at from everywhere");
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let (failures, now) = limited_to(1, 100);
        failures.note("2001:db8::1".parse().unwrap(), None, now);
        assert!(failures.check("2001:db8::ffff".parse().unwrap(), None, now).is_err());
        assert!(failures.check("2001:db8:0:1::1".parse().unwrap(), None, now).is_ok());
        failures.note("::ffff:10.0.0.1".parse().unwrap(), None, now);
        assert!(failures.check("10.0.0.1".parse().unwrap(), None, now).is_err());
    }
}
