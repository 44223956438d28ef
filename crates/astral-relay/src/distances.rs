//! Round trips to supernodes, measured as the time until a connection to the media listener is
//! open.

use crate::config::Connect;
use astral_proto::NodeId;
use astral_proto::limits::{LANDMARKS_MAX, LINK_SILENCE};
use astral_proto::message::Landmark;
use astral_runtime::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Time between two rounds of measuring.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);

/// The nearest known supernodes, [`LANDMARKS_MAX`] at most.
#[derive(Default)]
pub struct Distances {
    known: Mutex<BTreeMap<NodeId, Known>>,
    last_round: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Known {
    advertise: String,
    rtt: u32,
}

impl Distances {
    /// The supernodes to measure now: the known ones, and `new` ones except `own`. None if the last
    /// round was a moment ago.
    pub fn next_round(&self, new: &[Landmark], own: NodeId) -> Option<Vec<Landmark>> {
        let mut last = lock(&self.last_round);
        if last.is_some_and(|last| last.elapsed() < ROUND_INTERVAL) || new.is_empty() {
            return None;
        }
        *last = Some(Instant::now());
        let known = lock(&self.known);
        let landmark = |(node, known): (&NodeId, &Known)| Landmark {
            node: *node,
            advertise: known.advertise.clone(),
        };
        let strangers = new
            .iter()
            .take(LANDMARKS_MAX)
            .filter(|new| new.node != own && !known.contains_key(&new.node));
        Some(
            known
                .iter()
                .map(landmark)
                .chain(strangers.cloned())
                .collect(),
        )
    }

    /// Measures one supernode after the other, and keeps the nearest.
    pub async fn measure(&self, connect: &Connect, round: Vec<Landmark>) {
        for landmark in round {
            let begun = Instant::now();
            let is_reached = is_reached(connect, &landmark.advertise).await;
            let rtt = is_reached.then(|| begun.elapsed());
            self.note(
                landmark,
                rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)),
            );
        }
        let mut known = lock(&self.known);
        while known.len() > LANDMARKS_MAX {
            let farthest = known
                .iter()
                .max_by_key(|(_, known)| known.rtt)
                .map(|(node, _)| *node);
            farthest.and_then(|farthest| known.remove(&farthest));
        }
    }

    /// Round trips, microseconds.
    pub fn rtts(&self) -> Vec<(NodeId, u32)> {
        lock(&self.known)
            .iter()
            .map(|(node, known)| (*node, known.rtt))
            .collect()
    }

    fn note(&self, landmark: Landmark, rtt: Option<u32>) {
        let mut known = lock(&self.known);
        match (rtt, known.get_mut(&landmark.node)) {
            (None, _) => drop(known.remove(&landmark.node)),
            (Some(rtt), Some(known)) => known.rtt = smoothed(known.rtt, rtt),
            (Some(rtt), None) => drop(known.insert(
                landmark.node,
                Known {
                    advertise: landmark.advertise,
                    rtt,
                },
            )),
        }
    }
}

/// The moving average: four parts of the old value and one part of the new one.
fn smoothed(before: u32, now: u32) -> u32 {
    u32::try_from((u64::from(before) * 4 + u64::from(now)) / 5).unwrap_or(u32::MAX)
}

/// Whether a connection to `address` opens within the time that a link may be silent.
async fn is_reached(connect: &Connect, address: &str) -> bool {
    match connect {
        Connect::Tcp => timeout(LINK_SILENCE, TcpStream::connect(address))
            .await
            .is_ok_and(|connected| connected.is_ok()),
        // Relays within one process are all equally near, and no resolver knows their names.
        Connect::Within(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn landmark(advertise: &str) -> Landmark {
        Landmark {
            node: NodeId::random(),
            advertise: advertise.into(),
        }
    }

    #[tokio::test]
    async fn supernodes_that_answer_are_told_and_those_that_do_not_are_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = landmark(&listener.local_addr().unwrap().to_string());
        let away = landmark("127.0.0.1:1");
        let distances = Distances::default();
        let round = distances
            .next_round(&[here.clone(), away.clone()], NodeId::random())
            .unwrap();
        assert_eq!(
            distances.next_round(std::slice::from_ref(&away), NodeId::random()),
            None,
            "not twice in a moment"
        );
        distances.measure(&Connect::Tcp, round).await;
        let told = distances.rtts();
        assert_eq!(
            told.iter().map(|(node, _)| *node).collect::<Vec<_>>(),
            [here.node]
        );
        assert!(told[0].1 < 500_000);
        drop(listener);
        distances.measure(&Connect::Tcp, vec![here]).await;
        assert_eq!(distances.rtts(), []);
    }

    #[tokio::test]
    async fn the_nearest_are_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let distances = Distances::default();
        let far: Vec<Landmark> = (0..LANDMARKS_MAX).map(|_| landmark(&address)).collect();
        far.iter()
            .for_each(|far| distances.note(far.clone(), Some(9_000_000)));
        let near = landmark(&address);
        distances.measure(&Connect::Tcp, vec![near.clone()]).await;
        let told = distances.rtts();
        assert_eq!(told.len(), LANDMARKS_MAX);
        assert!(told.iter().any(|(node, _)| *node == near.node));
    }

    #[test]
    fn what_is_new_counts_a_fifth() {
        assert_eq!(smoothed(1_000, 2_000), 1_200);
        assert_eq!(smoothed(u32::MAX, u32::MAX), u32::MAX);
    }
}
