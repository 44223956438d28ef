//! How deep trees are, and how deep they would have to be.

use std::fmt;
use std::time::Duration;

/// A tree may be so many times as deep as the least possible, in tenths.
const TIMES_LEAST_TENTHS: usize = 13;

/// How deep a tree is, in hops.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Depth {
    /// Relays below the origin.
    pub relays: usize,
    /// The farthest relay.
    pub most: usize,
    /// The mean relay.
    pub mean: f64,
}

/// A tree as it is at some time, and as it could be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// When, from the beginning.
    pub at: Duration,
    /// How deep it is.
    pub depth: Depth,
    /// How deep a tree of the same relays must be.
    pub least: Depth,
}

impl Look {
    /// Whether the farthest relay is within what is promised.
    pub fn is_flat(&self) -> bool {
        self.depth.most * 10 <= self.least.most * TIMES_LEAST_TENTHS
    }

    /// Whether the mean relay is.
    pub fn is_flat_in_the_mean(&self) -> bool {
        self.depth.mean * 10.0 <= self.least.mean * TIMES_LEAST_TENTHS as f64
    }
}

impl Depth {
    /// Of relays that are so many hops from the origin; the origin itself does not count.
    pub fn among(hops: impl Iterator<Item = usize>) -> Self {
        let mut depth = Self::default();
        let mut sum = 0;
        for hops in hops.filter(|hops| *hops > 0) {
            depth.relays += 1;
            depth.most = depth.most.max(hops);
            sum += hops;
        }
        depth.mean = sum as f64 / depth.relays.max(1) as f64;
        depth
    }

    /// How flat a tree could be: whoever can send to the most relays, nearest to the origin. `origin` and `fans` are to
    /// how many the origin and the others can send.
    pub fn least(origin: usize, mut fans: Vec<usize>) -> Self {
        fans.sort_unstable_by(|one, other| other.cmp(one));
        let mut room = origin;
        let mut hops = Vec::with_capacity(fans.len());
        for level in 1.. {
            let from = hops.len();
            let until = (from + room).min(fans.len());
            if until == from {
                break;
            }
            hops.extend(std::iter::repeat_n(level, until - from));
            room = fans[from..until].iter().sum();
        }
        Self::among(hops.into_iter())
    }
}

impl fmt::Display for Look {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { depth, least, .. } = self;
        let most = depth.most as f64 / least.most.max(1) as f64;
        let mean = depth.mean / least.mean.max(1.0);
        write!(
            out,
            "{} relays, {} hops deep, {:.2} in the mean; least possible {}, {:.2}: {most:.2} x, {mean:.2} x",
            depth.relays, depth.most, depth.mean, least.most, least.mean
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flattest_tree_has_the_strongest_relays_at_the_top() {
        let least = Depth::least(2, vec![0, 0, 0, 3, 0]);
        assert_eq!(least.relays, 5);
        assert_eq!(least.most, 2);
        assert!((least.mean - 1.6).abs() < 1e-9, "two at 1, three at 2");
    }

    #[test]
    fn relays_that_nobody_can_send_to_are_left_out() {
        assert_eq!(Depth::least(1, vec![0, 0]).relays, 1);
    }
}
