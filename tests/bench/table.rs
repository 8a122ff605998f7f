//! The result: a line a figure, as a Markdown table.

use std::fmt::Write as _;
use std::time::Duration;

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// There is none: a figure to plan with.
    Told,
}

/// One line of the table.
pub struct Figure {
    pub what: String,
    pub ours: String,
    pub peer: String,
    /// Ours through the peer's, or through the limit.
    pub ratio: f64,
    pub goal: Goal,
}

impl Figure {
    /// Both in milliseconds.
    pub fn times(what: &str, ours: f64, (peer, theirs): (&str, f64), goal: f64) -> Self {
        Self {
            what: what.into(),
            ours: time(ours),
            peer: format!("{peer} {}", time(theirs)),
            ratio: ours / theirs,
            goal: Goal::AtMost(goal),
        }
    }

    /// A size in bytes that has a limit instead of a peer.
    pub fn bytes(what: &str, ours: u64, limit: u64) -> Self {
        Self {
            what: what.into(),
            ours: format!("{:.0} MB", ours as f64 / 1e6),
            peer: format!("limit {:.0} MB", limit as f64 / 1e6),
            ratio: ours as f64 / limit as f64,
            goal: Goal::AtMost(1.0),
        }
    }

    /// What is asked for, and whether it is so.
    fn judged(&self) -> (String, &'static str) {
        let met = |met| if met { "yes" } else { "**no**" };
        match self.goal {
            Goal::AtLeast(least) => (format!("at least {least}"), met(self.ratio >= least)),
            Goal::AtMost(most) => (format!("at most {most}"), met(self.ratio <= most)),
            Goal::Told => ("none".into(), "-"),
        }
    }
}

/// Milliseconds in the unit that suits.
pub fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1000.0),
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

pub fn markdown(figures: &[Figure]) -> String {
    let mut text = String::from("| what | ours | peer | ratio | goal | met |\n|---|---|---|---|---|---|\n");
    for f in figures {
        let (goal, met) = f.judged();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {} | {:.2} | {goal} | {met} |", f.what, f.ours, f.peer, f.ratio);
    }
    text
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
