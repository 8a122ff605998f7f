//! Which keys and customers are denied now, in memory: asked at every request, learned from the database every 2 s.
//!
//! A revocation on this node holds before the database has answered the next poll; one that was learned holds through an
//! outage. Keys revoked longer ago than any token lives need not be kept: a key itself is not believed for so long
//! without its row.

use std::collections::HashSet;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use database::{Db, reading};
use identity::{CustomerId, KeyId, Principal};
use parking_lot::Mutex;
use uuid::Uuid;

/// Longer than any credential is believed without its row: a token's life of at most a day, and an hour for clocks.
const KEPT: TimeDelta = TimeDelta::hours(25);

#[derive(Clone, Default)]
struct Lists {
    keys: HashSet<KeyId>,
    customers: HashSet<CustomerId>,
}

#[derive(Default)]
pub(crate) struct Denied {
    lists: ArcSwap<Lists>,
    /// How often this node changed the lists itself; a poll that began before such a change adds and takes nothing away.
    changes: Mutex<u64>,
}

impl Denied {
    pub fn holds(&self, principal: &Principal) -> bool {
        let lists = self.lists.load();
        lists.keys.contains(&principal.key) || lists.customers.contains(&principal.customer)
    }

    pub fn deny_keys(&self, keys: impl IntoIterator<Item = KeyId>) {
        self.change(|lists| lists.keys.extend(keys));
    }

    pub fn deny_customer(&self, customer: CustomerId) {
        self.change(|lists| {
            lists.customers.insert(customer);
        });
    }

    pub fn allow_customer(&self, customer: CustomerId) {
        self.change(|lists| {
            lists.customers.remove(&customer);
        });
    }

    /// Learns the lists from the database. On an error what was known goes on holding.
    pub async fn refresh(&self, db: &Db, now: DateTime<Utc>) -> Result<(), database::Error> {
        let before = *self.changes.lock();
        let learned = learn(db, now).await?;
        let changes = self.changes.lock();
        if *changes == before {
            self.lists.store(learned.into());
        } else {
            let mut both = Lists::clone(&self.lists.load());
            both.keys.extend(learned.keys);
            self.lists.store(both.into());
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Lists)) {
        let mut changes = self.changes.lock();
        let mut lists = Lists::clone(&self.lists.load());
        change(&mut lists);
        self.lists.store(lists.into());
        *changes += 1;
    }
}

async fn learn(db: &Db, now: DateTime<Utc>) -> Result<Lists, database::Error> {
    const KEYS: &str = "SELECT id FROM api_keys WHERE revoked_at > $1";
    const CUSTOMERS: &str = "SELECT id FROM customers WHERE status <> 'active'";
    let since = database::instant(now - KEPT);
    let keys: Vec<String> = reading!(db, |pool| sqlx::query_scalar(KEYS).bind(since).fetch_all(pool))?;
    let customers: Vec<Uuid> = reading!(db, |pool| sqlx::query_scalar(CUSTOMERS).fetch_all(pool))?;
    Ok(Lists {
        keys: keys.iter().filter_map(|id| KeyId::parse(id).ok()).collect(),
        customers: customers.into_iter().map(CustomerId::from).collect(),
    })
}
