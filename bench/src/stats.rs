//! Percentiles.

/// The value that `share` of `values`, 0.0 to 1.0, do not exceed; 0 of none.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The middle of `values`, or the mean of the two in the middle; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    let lower = percentile(values, 0.5);
    let upper = values.get(values.len() / 2).copied().unwrap_or(lower);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(median(&mut values), 50.5);
        assert_eq!(median(&mut [7.0]), 7.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
