use super::*;
use astral_proto::model::Role;

pub fn node(state: NodeState, limit_kbps: u32, viewer_kbps: u32) -> Node {
    let uuid = NodeId::random();
    Node {
        uuid,
        name: String::new(),
        role: Role::Supernode,
        state,
        media_url: format!("http://{uuid}"),
        rtmp_url: String::new(),
        advertise: String::new(),
        primary_supernode: None,
        limit_kbps: Kbps::new(limit_kbps),
        promised_kbps: Kbps::new(1000),
        viewer_kbps: Kbps::new(viewer_kbps),
        streams: 0,
    }
}

fn wanted(kbps: u32, carriers: &[&Node]) -> Wanted {
    Wanted {
        carriers: carriers.iter().map(|node| node.uuid).collect(),
        kbps: Kbps::new(kbps),
    }
}

fn nobody() -> Shunned {
    Shunned::default()
}

#[test]
fn a_relay_that_carries_the_stream_is_preferred_while_the_stream_fits() {
    let [carrier, other] = [
        node(NodeState::Up, 3000, 0),
        node(NodeState::Up, 900_000, 0),
    ];
    let wanted = wanted(2000, &[&carrier]);
    for draw in [0, 1, u64::MAX] {
        let nodes = [other.clone(), carrier.clone()];
        assert_eq!(
            choose(&nodes, &nobody(), &wanted, draw).unwrap().uuid,
            carrier.uuid
        );
        let nearly_full = Node {
            viewer_kbps: Kbps::new(1),
            ..carrier.clone()
        };
        let nodes = [nearly_full, other.clone()];
        assert_eq!(
            choose(&nodes, &nobody(), &wanted, draw).unwrap().uuid,
            other.uuid
        );
    }
}

#[test]
fn a_relay_with_room_for_less_than_the_stream_gets_nobody() {
    let nodes = [node(NodeState::Up, 3599, 0), node(NodeState::Up, 2000, 500)];
    assert!(choose(&nodes, &nobody(), &wanted(2600, &[&nodes[0]]), 7).is_none());
    assert!(
        choose(&nodes, &nobody(), &wanted(2599, &[]), 7).is_some(),
        "it fits exactly"
    );
}

#[test]
fn while_the_rate_is_not_known_much_room_is_preferred_and_any_room_will_do() {
    let [large, small] = [
        node(NodeState::Up, 1000 + UNKNOWN_KBPS.get(), 0),
        node(NodeState::Up, 1001, 0),
    ];
    let nodes = [small.clone(), large.clone()];
    for draw in [0, 1, u64::MAX] {
        let chosen = choose(&nodes, &nobody(), &wanted(0, &[&small]), draw).unwrap();
        assert_eq!(chosen.uuid, large.uuid);
        assert_eq!(
            choose(&nodes[..1], &nobody(), &wanted(0, &[]), draw)
                .unwrap()
                .uuid,
            small.uuid
        );
    }
}

#[test]
fn relays_are_drawn_in_proportion_to_their_room() {
    let nodes = [node(NodeState::Up, 1001, 0), node(NodeState::Up, 1003, 0)];
    let drawn = (0..400)
        .filter(|&draw| {
            choose(&nodes, &nobody(), &wanted(1, &[]), draw)
                .unwrap()
                .uuid
                == nodes[1].uuid
        })
        .count();
    assert_eq!(drawn, 300);
}

#[test]
fn relays_that_drain_are_lost_or_are_full_get_nobody() {
    let nodes = [
        node(NodeState::Draining, 9000, 0),
        node(NodeState::Lost, 9000, 0),
        node(NodeState::Up, 0, 0),
    ];
    assert!(choose(&nodes, &nobody(), &wanted(0, &[]), 7).is_none());
}

#[test]
fn no_relay_that_said_it_is_full_is_chosen_again() {
    let nodes: Vec<_> = (0..3).map(|_| node(NodeState::Up, 9000, 0)).collect();
    let ids: Vec<_> = nodes.iter().map(|node| node.uuid.to_string()).collect();
    let full = |count: usize| Shunned {
        preferred: None,
        dead: None,
        full: ids[..count].to_vec(),
    };
    for draw in 0..50 {
        assert_eq!(
            choose(&nodes, &full(2), &wanted(100, &[]), draw)
                .unwrap()
                .uuid,
            nodes[2].uuid
        );
    }
    assert!(choose(&nodes, &full(3), &wanted(100, &[]), 0).is_none());
}

#[test]
fn relays_behind_one_public_url_are_told_apart_by_id() {
    let shared = |node: Node| Node {
        media_url: "https://media.example".into(),
        ..node
    };
    let nodes = [
        shared(node(NodeState::Up, 9000, 0)),
        shared(node(NodeState::Up, 9000, 0)),
    ];
    let id = nodes[0].uuid.to_string();
    let full = Shunned {
        preferred: None,
        dead: None,
        full: vec![id.clone()],
    };
    assert_eq!(
        choose(&nodes, &full, &wanted(100, &[]), 0).unwrap().uuid,
        nodes[1].uuid
    );
}

#[test]
fn a_viewer_that_many_relays_sent_back_is_sent_to_no_other() {
    let nodes = [node(NodeState::Up, 9000, 0)];
    let tried = |count| Shunned {
        preferred: None,
        dead: None,
        full: vec!["elsewhere:1".to_owned(); count],
    };
    assert!(choose(&nodes, &tried(FULL_TRIED_MAX - 1), &wanted(100, &[]), 0).is_some());
    assert!(choose(&nodes, &tried(FULL_TRIED_MAX), &wanted(100, &[]), 0).is_none());
}

#[test]
fn a_relay_that_did_not_answer_is_chosen_only_if_no_other_will_do() {
    let nodes = [node(NodeState::Up, 9000, 0), node(NodeState::Up, 9000, 0)];
    let dead = nodes[0].uuid.to_string();
    let shunned = Shunned {
        dead: Some(dead),
        full: Vec::new(),
        preferred: None,
    };
    for draw in 0..50 {
        assert_eq!(
            choose(&nodes, &shunned, &wanted(100, &[]), draw)
                .unwrap()
                .uuid,
            nodes[1].uuid
        );
    }
    assert_eq!(
        choose(&nodes[..1], &shunned, &wanted(100, &[]), 0)
            .unwrap()
            .uuid,
        nodes[0].uuid
    );
}

#[test]
fn a_relay_is_known_by_the_host_that_viewers_see() {
    let node = Node {
        media_url: "http://a:8081/edge".to_owned(),
        ..node(NodeState::Up, 1, 0)
    };
    assert!(is_called(&node, "a:8081"));
    assert!(!is_called(&node, "a:808") && !is_called(&node, "") && !is_called(&node, "b:8081"));
}

#[test]
fn the_relay_that_a_viewer_asks_for_is_chosen_while_it_has_room() {
    let nodes = [node(NodeState::Up, 9000, 0), node(NodeState::Up, 9000, 0)];
    for preferred in &nodes {
        let id = preferred.uuid.to_string();
        let shunned = Shunned {
            preferred: Some(id.clone()),
            ..Shunned::default()
        };
        for draw in [0, 7, u64::MAX] {
            assert_eq!(
                choose(&nodes, &shunned, &Wanted::default(), draw)
                    .unwrap()
                    .uuid,
                preferred.uuid
            );
        }
        let full = Shunned {
            preferred: Some(id.clone()),
            full: vec![id.clone()],
            ..Shunned::default()
        };
        assert_ne!(
            choose(&nodes, &full, &Wanted::default(), 0).unwrap().uuid,
            preferred.uuid
        );
    }
}
