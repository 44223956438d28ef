use super::choose::tests::node;
use super::*;
use astral_proto::Kbps;
use astral_proto::model::NodeState;

#[tokio::test(start_paused = true)]
async fn a_list_that_shrinks_at_once_is_doubted_for_one_lease() {
    let nodes: Vec<_> = (0..3).map(|_| node(NodeState::Up, 1, 0)).collect();
    let mut known = Known::default();
    known.take_in(nodes.clone());
    assert!(!known.is_in_doubt());
    let count = |known: &Known| known.nodes.as_ref().unwrap().len();
    known.take_in(vec![]);
    assert_eq!((count(&known), known.is_in_doubt()), (3, true), "a wipe");
    tokio::time::advance(LEASE / 2).await;
    known.take_in(vec![Node {
        viewer_kbps: Kbps::new(7),
        ..nodes[1].clone()
    }]);
    assert_eq!(
        (count(&known), known.nodes.as_ref().unwrap()[0].viewer_kbps),
        (3, Kbps::new(7)),
        "the first is back"
    );
    tokio::time::advance(LEASE / 2).await;
    known.take_in(vec![nodes[1].clone()]);
    assert_eq!(count(&known), 1, "the others are really gone");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_leaves_among_others_is_gone_at_once() {
    let nodes: Vec<_> = (0..3).map(|_| node(NodeState::Up, 1, 0)).collect();
    let mut known = Known::default();
    known.take_in(nodes.clone());
    known.take_in(nodes[1..].to_vec());
    assert_eq!(
        (known.nodes.as_ref().unwrap().len(), known.is_in_doubt()),
        (2, false)
    );
}
