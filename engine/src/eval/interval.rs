//! A mean with its 95 % interval, by bootstrap over *subjects*: slices of one subject are not independent.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::random::Random;

/// Bootstrap samples.
const SAMPLES: usize = 1000;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Mean over items.
    pub mean: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Of values with the subject of each; `None` if there are none.
pub fn interval(values: &[(&str, f64)]) -> Option<Interval> {
    let mut subjects: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (subject, value) in values {
        let (sum, count) = subjects.entry(subject).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let subjects: Vec<(f64, f64)> = subjects.into_values().collect();
    if subjects.is_empty() {
        return None;
    }
    let mean = |drawn: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = drawn.fold((0.0, 0.0), |(sum, count), (s, c)| (sum + s, count + c));
        sum / f64::max(count, 1.0)
    };
    let mut random = Random(20);
    let mut means: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let mut drawn = (0..subjects.len())
                .filter_map(|_| subjects.get(random.below(subjects.len())).copied());
            mean(&mut drawn)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (means.len() - 1) as f64).round() as usize;
        means.get(index).copied().unwrap_or(0.0)
    };
    Some(Interval {
        mean: mean(&mut subjects.iter().copied()),
        low: at(0.025),
        high: at(0.975),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_drawn_over_subjects_and_not_over_slices() {
        // Within a subject all slices agree: between two subjects only 50, 60 and their mixture are possible.
        let mut values = vec![("A", 50.0); 50];
        values.extend([("B", 60.0); 50]);
        let interval = interval(&values).unwrap();
        assert_eq!(
            (interval.mean, interval.low, interval.high),
            (55.0, 50.0, 60.0)
        );
    }

    #[test]
    fn a_subject_with_more_slices_weighs_more() {
        let values = [("A", 0.0), ("B", 1.0), ("B", 1.0), ("B", 1.0)];
        assert_eq!(interval(&values).unwrap().mean, 0.75);
        assert_eq!(interval(&[]), None);
    }
}
