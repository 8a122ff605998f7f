//! Named points at which tests end the process as `kill -9` would.
//!
//! `LAKEFRONT_FAILPOINTS=upload.before-commit,commit.after:5%,part#3` aborts at the first, at the second with a
//! chance of five in a hundred, and at the third time the last is passed. Unset, a point costs one load.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
enum When {
    Always,
    Chance { percent: u64 },
    Nth { nth: u64, passed: AtomicU64 },
}

static POINTS: OnceLock<Option<HashMap<String, When>>> = OnceLock::new();

/// Ends the process without any clean-up if the environment names this point.
pub fn failpoint(name: &str) {
    let points = POINTS.get_or_init(|| parse(&std::env::var("LAKEFRONT_FAILPOINTS").unwrap_or_default()));
    if let Some(points) = points
        && points.get(name).is_some_and(When::hit)
    {
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<HashMap<String, When>> {
    let points: HashMap<_, _> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse_one).collect();
    (!points.is_empty()).then_some(points)
}

fn parse_one(text: &str) -> (String, When) {
    if let Some((name, percent)) = text.strip_suffix('%').and_then(|rest| rest.rsplit_once(':'))
        && let Ok(percent) = percent.parse()
    {
        return (name.to_owned(), When::Chance { percent });
    }
    if let Some((name, nth)) = text.rsplit_once('#')
        && let Ok(nth) = nth.parse()
    {
        return (name.to_owned(), When::Nth { nth, passed: AtomicU64::new(0) });
    }
    (text.to_owned(), When::Always)
}

impl When {
    fn hit(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Chance { percent } => dice() < *percent,
            Self::Nth { nth, passed } => passed.fetch_add(1, Ordering::Relaxed) + 1 == *nth,
        }
    }
}

/// 0 to 99, good enough to scatter the moments of a kill.
fn dice() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ((u64::from(now.subsec_nanos()) >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        assert!(parse(" ").is_none());
        let points = parse("a.b, c:5%,d#2").unwrap_or_default();
        assert!(matches!(points.get("a.b"), Some(When::Always)));
        assert!(matches!(points.get("c"), Some(When::Chance { percent: 5 })));
        let second = points.get("d").map(|when| [when.hit(), when.hit(), when.hit()]);
        assert_eq!(second, Some([false, true, false]));
        failpoint("not.named");
    }
}
