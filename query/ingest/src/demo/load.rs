//! Loading the demo: 15 years through the doors that the real sources use.

use chrono::{DateTime, Days, Utc};

use super::{Demo, DemoError, drop, producer};
use crate::sources::weather::Grain;
use crate::sources::{Arrivals, Progress};

/// Days before the start that have hours.
const HOURLY_DAYS: u64 = 30;

impl Demo {
    /// Fills the lake: regions, history files, A and B, years of daily weather, a month of hours, two days of events,
    /// the hours of today and a forecast. What an earlier start loaded is not loaded again.
    /// - Progress: one part after the other, in the order above.
    /// - Errors: [`DemoError`]; another start goes on where this one ended.
    pub async fn load(
        &self,
        arrivals: &Arrivals,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<(), DemoError> {
        let mut state = self.began(now)?;
        let (regions, years) = (self.config.regions, self.config.years);
        arrivals.catch_up(now).await?;
        if !state.has(regions, years) {
            arrivals.hold();
            self.load_files(arrivals, progress, now).await?;
            self.load_weather(arrivals, progress, now).await?;
            progress.step("market events", 0, 1);
            producer::seed(&self.world, arrivals, now).await?;
            arrivals.run_once("d", now).await?;
            progress.step("market events", 1, 1);
            progress.step("models", 0, 1);
            arrivals.release(now).await?;
            progress.step("models", 1, 1);
            state.add(regions, years).map_err(DemoError::io("the demo's memory"))?;
        }
        progress.step("current weather and forecast", 0, 1);
        // Loading takes its time, and a forecast is of the moment at which it is asked for.
        arrivals.run_once("c", now.max(Utc::now())).await?;
        progress.step("current weather and forecast", 1, 1);
        Ok(())
    }

    async fn load_files(
        &self,
        arrivals: &Arrivals,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<(), DemoError> {
        let began = self.began(now)?.began;
        let (world, folder, from) = (self.world.clone(), self.config.folder.clone(), self.first_day(began));
        progress.step("files of a, b and the market's history", 0, 4);
        let write = tokio::task::spawn_blocking(move || {
            drop::past(&world, &folder, from, began)?;
            drop::due(&world, &folder, began)
        });
        let written = write.await.map_err(std::io::Error::other).and_then(|done| done);
        written.map_err(DemoError::io("writing the demo's files"))?;
        for (done, source) in ["market_history", "a", "b"].into_iter().enumerate() {
            progress.step("files of a, b and the market's history", done as u64 + 1, 4);
            arrivals.run_once(source, now).await?;
        }
        progress.step("files of a, b and the market's history", 4, 4);
        Ok(())
    }

    async fn load_weather(
        &self,
        arrivals: &Arrivals,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<(), DemoError> {
        let began = self.began(now)?.began;
        let (first, yesterday) = (self.first_day(began), began - Days::new(1));
        let month = (began - Days::new(HOURLY_DAYS)).max(first);
        arrivals.backfill("c", (month, yesterday), &[Grain::Hour], progress, now).await?;
        arrivals.backfill("c", (first, yesterday), &[Grain::Day], progress, now).await?;
        Ok(())
    }
}
