//! Past days of a weather source, from its archive.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, Utc};

use super::arrivals::Service;
use super::weather::{Archive, Grain, Range};
use super::{Arrivals, Progress, Ran, Source, SourceError};

impl Arrivals {
    /// Fills past days of a weather source from its archive, for every active region.
    /// - Both ends are included. A backfill that was killed goes on where it was; a finished one asks nothing.
    /// - Errors: [`SourceError::Unknown`] when `name` is no weather source.
    pub async fn backfill(
        &self,
        name: &str,
        (from, to): (NaiveDate, NaiveDate),
        grains: &[Grain],
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let unknown = || SourceError::Unknown { name: name.to_string() };
        let service = self.0.services.get(name).ok_or_else(unknown)?;
        let _turn = service.turn.lock().await;
        self.regions(now).await?;
        let mut ran = Ran { source: name.to_string(), ..Ran::default() };
        let sources = grains.iter().map(|grain| self.archive(service, *grain, Range { from, to }));
        let sources: Vec<Archive> = sources.collect();
        let mut stage = Stage::default();
        for source in &sources {
            let last = self.0.catalog.batches().last_position(source.name()).await?;
            let (done, of) = source.calls(last.as_ref()).await?;
            stage.add(done, of);
        }
        for source in sources {
            self.backfill_grain(source, progress, now, (&mut stage, &mut ran)).await?;
        }
        Ok(ran)
    }

    async fn backfill_grain(
        &self,
        source: Archive,
        progress: &dyn Progress,
        now: DateTime<Utc>,
        (stage, ran): (&mut Stage, &mut Ran),
    ) -> Result<(), SourceError> {
        self.catch_up_models(&source, now).await?;
        let source: Arc<dyn Source> = Arc::new(source);
        let mut landed = Vec::new();
        loop {
            let (intake, one) = (self.0.intake.clone(), Arc::clone(&source));
            let work = self.0.heavy.spawn(async move { intake.land(one.as_ref(), now).await });
            let one = work.await.map_err(|e| SourceError::refused(format!("the backfill ended: {e}")))??;
            let Some(one) = one else { break };
            landed.push(one);
            stage.done += 1;
            progress.step(source.name(), stage.done, stage.of);
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
        let services = self.0.services.values();
        services.flat_map(|service| both.map(|grain| self.archive(service, grain, range))).collect()
    }

    fn archive(&self, service: &Service, grain: Grain, range: Range) -> Archive {
        let (shared, table) = match grain {
            Grain::Day => (&service.archive, &service.spec.archive),
            Grain::Hour => (&service.hourly, &service.spec.hourly),
        };
        Archive::new(shared.clone(), self.0.places.clone(), table.clone(), grain, range)
    }
}

/// How far a backfill of several parts is.
#[derive(Default)]
struct Stage {
    done: u64,
    of: u64,
}

impl Stage {
    fn add(&mut self, done: usize, of: usize) {
        self.done += done as u64;
        self.of += of as u64;
    }
}
