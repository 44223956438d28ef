//! How deep trees are, and how deep they would have to be.

use crate::node::{Phase, Pull, STREAM_KBPS, SimNode};
use std::fmt;

/// A tree may be so many times as deep as the least possible, in tenths.
const TIMES_LEAST_TENTHS: usize = 13;

/// How deep a stream's tree is, in hops.
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
    /// Milliseconds from the beginning.
    pub at: u64,
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
    /// How deep the tree of `stream` is.
    pub fn of(nodes: &[SimNode], stream: u8) -> Self {
        let pulls = nodes
            .iter()
            .filter(|node| node.is_up())
            .flat_map(|node| &node.pulls);
        let served = pulls.filter(|pull| pull.stream == stream && pull.is_served());
        Self::among(served.map(|pull| pull.path.len() - 1))
    }

    /// How flat the tree of the same relays could be: whoever can send the most, nearest to the origin.
    pub fn least(nodes: &[SimNode], stream: u8) -> Self {
        let fan = |node: &SimNode| (node.limit_kbps / STREAM_KBPS) as usize;
        let carries = |node: &&SimNode, origin: bool| {
            let is_origin = |phase: Phase| matches!(phase, Phase::Origin { .. });
            let here = |pull: &&Pull| pull.stream == stream && pull.is_served();
            node.is_up()
                && node
                    .pulls
                    .iter()
                    .find(here)
                    .is_some_and(|pull| is_origin(pull.phase) == origin)
        };
        let mut fans: Vec<usize> = nodes
            .iter()
            .filter(|node| carries(node, false))
            .map(fan)
            .collect();
        fans.sort_unstable_by(|a, b| b.cmp(a));
        let mut room: usize = nodes
            .iter()
            .filter(|node| carries(node, true))
            .map(fan)
            .sum();
        let mut hops = vec![];
        let mut from = 0;
        for level in 1.. {
            let until = (from + room).min(fans.len());
            if until == from {
                break;
            }
            hops.extend(std::iter::repeat_n(level, until - from));
            room = fans[from..until].iter().sum();
            from = until;
        }
        Self::among(hops.into_iter())
    }

    fn among(hops: impl Iterator<Item = usize>) -> Self {
        let mut relays = 0;
        let mut sum = 0;
        let mut most = 0;
        for hops in hops.filter(|hops| *hops > 0) {
            (relays, sum, most) = (relays + 1, sum + hops, most.max(hops));
        }
        Self {
            relays,
            most,
            mean: sum as f64 / relays.max(1) as f64,
        }
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
