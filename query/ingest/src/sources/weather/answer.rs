//! What a weather service says, in the lake's own measures, whatever format it speaks.

use chrono::{DateTime, NaiveDate, Utc};

/// Values of one measure, by time.
pub type Values = Vec<Option<f64>>;

/// What it says of one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Temperature °C, precipitation mm, wind m/s, humidity %.
    pub hours: Option<Told<DateTime<Utc>, 4>>,
    /// Local days of the place: temperature mean, min, max °C, precipitation mm, wind m/s, humidity %.
    pub days: Option<Told<NaiveDate, 6>>,
}

/// Times, and as many values of each measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<T, const N: usize> {
    pub times: Vec<T>,
    pub values: [Values; N],
}

impl Answer {
    /// Adds what a further page says of the same place.
    pub fn extend(&mut self, more: Self) {
        extend(&mut self.hours, more.hours);
        extend(&mut self.days, more.days);
    }
}

fn extend<T, const N: usize>(told: &mut Option<Told<T, N>>, more: Option<Told<T, N>>) {
    match (told.as_mut(), more) {
        (Some(told), Some(more)) => {
            told.times.extend(more.times);
            told.values.iter_mut().zip(more.values).for_each(|(values, more)| values.extend(more));
        }
        (None, more) => *told = more,
        (Some(_), None) => {}
    }
}
