//! Past days of a weather source, from its archive.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, Utc};

use super::arrivals::Service;
use super::weather::{Archive, Grain, Range, Wanted};
use super::{Arrivals, Landed, Progress, Ran, Source, SourceError};

impl Arrivals {
    /// Fills past days of a weather source from its archive, for every active region.
    /// - Both ends are included. A backfill that was killed goes on where it was; what is there is not asked for.
    /// - Errors: [`SourceError::Unknown`] when `name` is no weather source.
    pub async fn backfill(
        &self,
        name: &str,
        (from, to): (NaiveDate, NaiveDate),
        grains: &[Grain],
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let wanted = Wanted { range: Range { from, to }, run: None, again: false };
        self.backfill_for(name, wanted, grains, progress, now).await
    }

    /// The same for a job, or also for days that are there.
    /// - Errors: as [`Arrivals::backfill`], and [`SourceError::Stopped`].
    pub async fn backfill_for(
        &self,
        name: &str,
        wanted: Wanted,
        grains: &[Grain],
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let unknown = || SourceError::Unknown { name: name.to_string() };
        let service = self.0.services.get(name).ok_or_else(unknown)?;
        let _turn = service.turn.lock().await;
        self.regions(now).await?;
        let mut ran = Ran { source: name.to_string(), ..Ran::default() };
        let sources = grains.iter().map(|grain| Arc::new(self.archive(service, *grain, wanted)));
        let sources: Vec<Arc<Archive>> = sources.collect();
        for source in &sources {
            while self.0.intake.resume(source.as_ref(), now).await?.is_some() {}
            source.look().await?;
        }
        for source in &sources {
            self.backfill_grain((source, sources.as_slice()), progress, now, &mut ran).await?;
        }
        Ok(ran)
    }

    async fn backfill_grain(
        &self,
        (source, all): (&Arc<Archive>, &[Arc<Archive>]),
        progress: &dyn Progress,
        now: DateTime<Utc>,
        ran: &mut Ran,
    ) -> Result<(), SourceError> {
        self.catch_up_models(source.as_ref(), now).await?;
        let mut landed: Vec<Landed> = Vec::new();
        loop {
            let (intake, one) = (self.0.intake.clone(), Arc::clone(source));
            let work = self.0.heavy.spawn(async move { intake.land(one.as_ref(), now).await });
            let one = work.await.map_err(|e| SourceError::refused(format!("the backfill ended: {e}")))??;
            let Some(mut one) = one else { break };
            // The last one has what all of them touched: thousands of batches are about the same regions.
            if let Some(before) = landed.last_mut() {
                one.touched.merge(&std::mem::take(&mut before.touched));
            }
            landed.push(one);
            let (done, of) = stage(all).await;
            progress.step(source.name(), done, of);
            if progress.stopped() {
                return Err(SourceError::Stopped);
            }
        }
        self.settle(source.name(), &landed, now, ran).await?;
        let Some(last) = landed.last().filter(|_| !self.0.held.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        self.0.marks.set(source.name(), last.n, now).await
    }

    pub(super) fn archives(&self, range: Range) -> Vec<Archive> {
        let both = [Grain::Day, Grain::Hour];
        let wanted = Wanted { range, run: None, again: false };
        let services = self.0.services.values();
        services.flat_map(|service| both.map(|grain| self.archive(service, grain, wanted))).collect()
    }

    fn archive(&self, service: &Service, grain: Grain, wanted: Wanted) -> Archive {
        let (shared, table) = match grain {
            Grain::Day => (&service.archive, &service.spec.archive),
            Grain::Hour => (&service.hourly, &service.spec.hourly),
        };
        let (batches, places) = (self.0.catalog.batches(), self.0.places.clone());
        Archive::new(shared.clone(), batches, places, table.clone(), grain, wanted)
    }
}

/// How far a backfill of several parts is: calls made, of how many.
async fn stage(all: &[Arc<Archive>]) -> (u64, u64) {
    let (mut done, mut of) = (0, 0);
    for source in all {
        let (made, left) = source.progress().await;
        done += made as u64;
        of += (made + left) as u64;
    }
    (done, of)
}
