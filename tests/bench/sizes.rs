//! How much of everything a run takes.

use std::time::Duration;

pub struct Sizes {
    /// Of the lake that all but the mixed reads stand on.
    pub regions: usize,
    pub years: usize,
    /// One round of a load; ours and the peer have `rounds` each.
    pub round: Duration,
    pub rounds: usize,
    pub upload_bytes: u64,
    pub uploads: usize,
    pub datasets: usize,
    /// Of the mixed reads.
    pub mixed_regions: usize,
    pub mixed_customers: usize,
    /// Events that wait in a topic: the test's brokers keep about 150 000 of them.
    pub stream_events: usize,
    pub stream_rate: usize,
    pub stream_time: Duration,
    /// Of hours, from an archive.
    pub history_years: u32,
}

impl Sizes {
    /// What the issue asks for.
    pub const FULL: Self = Self {
        regions: 100,
        years: 15,
        round: Duration::from_secs(4),
        rounds: 3,
        upload_bytes: 1_000_000_000,
        uploads: 2,
        datasets: 1_000,
        mixed_regions: 1_000,
        mixed_customers: 50,
        stream_events: 120_000,
        stream_rate: 20_000,
        stream_time: Duration::from_secs(40),
        history_years: 15,
    };
    /// Enough to see that the program works.
    pub const SMALL: Self = Self {
        regions: 10,
        years: 2,
        round: Duration::from_secs(1),
        rounds: 3,
        upload_bytes: 5_000_000,
        uploads: 1,
        datasets: 20,
        mixed_regions: 30,
        mixed_customers: 6,
        stream_events: 5_000,
        stream_rate: 1_000,
        stream_time: Duration::from_secs(10),
        history_years: 1,
    };
}
