//! Which of the nodes that share a catalog works at the sources, their models and their tables: one at a time.
//!
//! ```text
//! lease `sources` ─ free, or its time is over ─▶ take ─▶ finish what the one before left ─▶ ask the sources
//!        ▲                                                                                    │
//!        └───────────────── kept by a heartbeat; given back when the process ends ◀───────────┘
//! lease `serving:<process>`: somebody reads the tables here, so nobody may empty them
//! ```
//! One for all sources and not one each: a model rests on several of them, and two runs of it at once could publish the
//! older result last. Absent on purpose: any use of it over an SQLite file, which has one process at work by its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catalog::{Catalog, Leases};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Arrivals, SourceError};

/// How long the work of a dead process waits for another.
const LEASE: Duration = Duration::from_secs(15);
/// How often a lease is kept.
const BEAT: Duration = Duration::from_secs(4);
/// A lease that ends so soon is not relied upon.
const MARGIN: TimeDelta = TimeDelta::seconds(2);
/// How long it is believed that another process has it.
const BELIEVED: TimeDelta = TimeDelta::milliseconds(500);

const SOURCES: &str = "sources";
const SERVING: &str = "serving:";

/// The part of this process in the work at the sources.
pub struct Lead {
    leases: Leases,
    serving: String,
    heavy: Handle,
    held: Arc<Mutex<Held>>,
    /// What the one before left is to be finished first.
    due: AtomicBool,
    /// One at a time asks for it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    /// Until when it is ours.
    until: Option<DateTime<Utc>>,
    /// When it was last seen to be another's, and whose.
    others: Option<(DateTime<Utc>, String)>,
    /// Whether the tables are read here.
    serves: bool,
    beating: Vec<Beating>,
}

/// A heartbeat; it ends with the value.
struct Beating(AbortHandle);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lead {
    pub fn new(catalog: &Catalog, heavy: Handle) -> Self {
        Self {
            leases: catalog.leases(),
            serving: format!("{SERVING}{}", catalog.owner()),
            heavy,
            held: Arc::default(),
            due: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn is_held(&self, now: DateTime<Utc>) -> bool {
        !self.leases.matter() || self.held.lock().until.is_some_and(|until| until - MARGIN > now)
    }

    /// Takes the lease, or keeps what is held.
    /// - Errors: [`SourceError::Elsewhere`] while another process has it.
    async fn take(&self) -> Result<(), SourceError> {
        // The clock of the lease is the real one, whatever time a run stands for.
        let now = Utc::now();
        if self.is_held(now) {
            return Ok(());
        }
        let believed = self.held.lock().others.clone();
        if let Some((_, owner)) = believed.filter(|(at, _)| now - *at < BELIEVED) {
            return Err(SourceError::Elsewhere { owner });
        }
        // A look first: whoever waits writes nothing.
        let holder = self.leases.of_others(SOURCES, now).await?.into_iter().next();
        if let Some(owner) = holder.map(|lease| lease.owner).or(self.taken(now).await?) {
            self.held.lock().others = Some((now, owner.clone()));
            return Err(SourceError::Elsewhere { owner });
        }
        tracing::info!("this process works at the sources from now on");
        self.due.store(true, Ordering::SeqCst);
        let (leases, held) = (self.leases.clone(), Arc::clone(&self.held));
        let beat = self.heavy.spawn(beat(leases, SOURCES.to_owned(), Some(held)));
        let mut held = self.held.lock();
        held.until = Some(until(now));
        held.others = None;
        held.beating.push(Beating(beat.abort_handle()));
        Ok(())
    }

    /// Takes a lease that seemed free; gives who came first, if somebody did.
    async fn taken(&self, now: DateTime<Utc>) -> Result<Option<String>, SourceError> {
        Ok(match self.leases.take(SOURCES, LEASE, now).await? {
            true => None,
            false => Some("another process".to_owned()),
        })
    }

    async fn give_back(&self) {
        let (had, beating) = {
            let mut held = self.held.lock();
            held.serves = false;
            (held.until.take().is_some(), std::mem::take(&mut held.beating))
        };
        drop(beating);
        for name in [had.then_some(SOURCES), Some(self.serving.as_str())].into_iter().flatten() {
            if self.leases.matter()
                && let Err(error) = self.leases.give_back(name).await
            {
                tracing::warn!(%error, name, "a lease runs out by itself");
            }
        }
    }
}

/// Whether another process of those that share the catalog works at the sources.
/// - Errors: the catalog's.
pub async fn is_led(catalog: &Catalog, now: DateTime<Utc>) -> Result<bool, catalog::Error> {
    Ok(catalog.leases().matter() && !catalog.leases().of_others(SOURCES, now).await?.is_empty())
}

/// Whether another process of those that share the catalog serves the tables.
/// - Errors: the catalog's.
pub async fn is_served(catalog: &Catalog, now: DateTime<Utc>) -> Result<bool, catalog::Error> {
    Ok(catalog.leases().matter() && !catalog.leases().of_others(SERVING, now).await?.is_empty())
}

fn until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(LEASE).unwrap_or(TimeDelta::seconds(15))
}

/// Keeps a lease. One that another process has got meanwhile, or that could not be kept in time, is no longer `held`.
async fn beat(leases: Leases, name: String, held: Option<Arc<Mutex<Held>>>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let now = Utc::now();
        let kept = match leases.take(&name, LEASE, now).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, name, "a lease could not be kept; it is tried again");
                continue;
            }
        };
        let Some(held) = &held else { continue };
        let mut held = held.lock();
        // What has run out in between may have been another's for a while: it must be taken anew.
        if !kept || held.until.is_none_or(|until| until < now) {
            tracing::warn!(name, "a lease was lost");
            held.until = None;
            return;
        }
        held.until = Some(until(now));
    }
}

impl Arrivals {
    /// Makes this process the one that works at the sources, and finishes what the one before left.
    /// - Errors: [`SourceError::Elsewhere`] while another process is it; those of [`Arrivals::catch_up`].
    pub async fn lead(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        let lead = &self.0.lead;
        if lead.is_held(Utc::now()) && !lead.due.load(Ordering::SeqCst) {
            return Ok(());
        }
        let _turn = lead.turn.lock().await;
        lead.take().await?;
        if lead.due.load(Ordering::SeqCst) {
            self.0.intake.look_again();
            self.finish_left(now).await?;
            lead.due.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether this process could work at the sources: it does, or nobody does.
    pub async fn may_lead(&self) -> bool {
        let (lead, now) = (&self.0.lead, Utc::now());
        lead.is_held(now) || lead.leases.of_others(SOURCES, now).await.is_ok_and(|others| others.is_empty())
    }

    /// Says, from now on, that the tables are read here. Kept until [`Arrivals::leave`].
    /// - Errors: the catalog's.
    pub async fn serve(&self) -> Result<(), SourceError> {
        let lead = &self.0.lead;
        if !lead.leases.matter() {
            return Ok(());
        }
        lead.leases.take(&lead.serving, LEASE, Utc::now()).await?;
        let beat = lead.heavy.spawn(beat(lead.leases.clone(), lead.serving.clone(), None));
        let mut held = lead.held.lock();
        held.beating.push(Beating(beat.abort_handle()));
        held.serves = true;
        Ok(())
    }

    /// Gives back what this process holds among the others: at its end, or before it waits for one of them.
    pub async fn leave(&self) {
        self.0.lead.give_back().await;
    }

    /// Makes this process the one that works at the sources, and leaves what the one before left as it is.
    /// - Errors: [`SourceError::Elsewhere`]; [`SourceError::Served`] while any process serves the tables, this one too.
    pub(super) async fn alone(&self) -> Result<(), SourceError> {
        let lead = &self.0.lead;
        if !lead.leases.matter() {
            return Ok(());
        }
        lead.take().await?;
        let own = lead.held.lock().serves.then(|| lead.serving.clone());
        let others = lead.leases.of_others(SERVING, Utc::now()).await?.into_iter();
        match own.into_iter().chain(others.map(|lease| lease.name)).next() {
            Some(name) => Err(SourceError::Served { owner: name.replacen(SERVING, "", 1) }),
            None => Ok(()),
        }
    }
}
