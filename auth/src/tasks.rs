//! What goes on beside the requests: learning who is denied, writing usage, forgetting.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::{Auth, Inner};

/// Twice and a half in the 5 s within which a revocation must hold on every node.
const LEARN_EVERY: Duration = Duration::from_secs(2);
const WRITE_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A database that hangs must not keep a task from trying again.
const PATIENCE: Duration = Duration::from_secs(3);

impl Auth {
    /// Starts the tasks. Each ends when the last clone of this is gone.
    pub(crate) fn start_tasks(&self) {
        let inner = || Arc::downgrade(&self.0);
        tokio::spawn(every(LEARN_EVERY, inner(), learn));
        tokio::spawn(every(WRITE_EVERY, inner(), write));
        tokio::spawn(every(SWEEP_EVERY, inner(), sweep));
    }
}

async fn every<F: Future<Output = ()>>(period: Duration, inner: Weak<Inner>, act: fn(Auth) -> F) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await; // the first comes at once
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        act(Auth(inner)).await;
    }
}

async fn learn(auth: Auth) {
    let learning = auth.0.denied.refresh(auth.db(), Utc::now());
    match tokio::time::timeout(PATIENCE, learning).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "revocations cannot be learned: those known go on holding"),
        Err(_) => tracing::warn!("revocations cannot be learned in time: those known go on holding"),
    }
}

async fn write(auth: Auth) {
    if let Err(error) = auth.write_usage(Utc::now()).await {
        tracing::warn!(%error, "usage cannot be written: it is kept for the next time");
    }
}

async fn sweep(auth: Auth) {
    auth.0.seen.sweep(Utc::now());
    auth.0.rates.sweep(Instant::now());
    auth.0.failures.sweep(Instant::now());
    auth.0.live.sweep(Instant::now());
}
