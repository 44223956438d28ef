//! Where players are sent, and what they are told when nowhere.

use super::*;

#[tokio::test]
async fn a_player_is_sent_to_the_same_path_at_a_relay_that_carries_the_stream() {
    let carrier = node(2, 9000);
    let nodes = vec![node(1, 1_000_000), carrier.clone(), node(3, 0)];
    let door = Door::new()
        .with_directory()
        .await
        .with_nodes(nodes)
        .await
        .with_tree(&carrier)
        .await;
    let response = door
        .get("/live/demo/media.m3u8?_HLS_msn=7&_HLS_part=1")
        .await;
    assert_eq!(response.status(), 307);
    assert_eq!(
        header(&response, "location"),
        "http://relay:2/live/demo/media.m3u8?_HLS_msn=7&_HLS_part=1"
    );
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert_eq!(
        header(&door.get("/live/demo.flv").await, "location"),
        "http://relay:2/live/demo.flv"
    );
}

#[tokio::test]
async fn no_player_is_sent_anywhere_for_an_unknown_stream_or_without_room() {
    let door = Door::new()
        .with_directory()
        .await
        .with_nodes(vec![node(1, 0)])
        .await;
    let unknown = door.get("/live/else/index.m3u8").await;
    problem(&unknown, 404, "not_found");
    assert_eq!(header(&unknown, "access-control-allow-origin"), "*");
    let full = door.get("/live/demo/index.m3u8").await;
    problem(&full, 503, "full");
    assert_eq!(header(&full, "retry-after"), "5");
}

#[tokio::test]
async fn a_player_is_sent_only_to_a_relay_that_the_stream_fits_on() {
    // The stream takes 2,500 kbit/s.
    let nearly_full = node(1, 2400);
    let nodes = vec![nearly_full.clone(), node(2, 9000), node(3, 50)];
    let door = Door::new()
        .with_directory()
        .await
        .with_nodes(nodes)
        .await
        .with_tree(&nearly_full)
        .await;
    for _ in 0..20 {
        assert_eq!(
            header(&door.get("/live/demo.flv").await, "location"),
            "http://relay:2/live/demo.flv"
        );
    }
    problem(&door.get("/live/demo.flv?full=relay:2").await, 503, "full");
}

#[tokio::test]
async fn the_relay_that_a_player_is_sent_to_hears_of_all_that_were_full() {
    let nodes = vec![node(1, 9000), node(2, 9000), node(3, 9000)];
    let third = nodes[2].uuid;
    let door = Door::new().with_directory().await.with_nodes(nodes).await;
    let sent = door
        .get(&format!(
            "/live/demo.flv?full=relay:1&latency=low&full={third}"
        ))
        .await;
    let location = format!("http://relay:2/live/demo.flv?full=relay:1&latency=low&full={third}");
    assert_eq!(
        (sent.status().as_u16(), header(&sent, "location")),
        (307, &location[..])
    );
    problem(
        &door
            .get(&format!(
                "/live/demo.flv?full=relay:1&full=relay:2&full={third}"
            ))
            .await,
        503,
        "full",
    );
}

#[tokio::test]
async fn a_player_of_a_stream_that_nobody_publishes_is_told_so_at_once() {
    for state in ["idle", "ended", "paused"] {
        let stream = stream_in(state);
        let door = Door::new().with_nodes(vec![node(1, 9000)]).await;
        let _asked = door.serving::<GetStream>(stream).await;
        let answer = door.get("/live/demo/index.m3u8").await;
        problem(&answer, 503, "not_begun");
        assert_eq!(header(&answer, "retry-after"), "2", "{state}");
    }
}

fn stream_in(state: &str) -> Stream {
    let stream = json!({
        "slug": "demo", "state": state, "epoch": 1, "origin": null, "kbps": 0, "started_at": null,
        "viewers": {"flv": 0, "rtmp": 0, "hls": 0},
    });
    serde_json::from_value(stream).unwrap()
}

/// The control plane goes away for longer than any answer stays fresh; redirects go on by what was
/// last heard.
#[tokio::test(start_paused = true)]
async fn players_are_redirected_while_the_control_plane_is_away() {
    let door = Door::new()
        .with_directory()
        .await
        .with_nodes(vec![node(1, 9000)])
        .await;
    assert_eq!(door.get("/live/demo/index.m3u8").await.status(), 307);
    door.cut_off().await;
    tokio::time::advance(Duration::from_secs(120)).await;
    problem(&door.get("/v1/streams").await, 503, "control_plane_away");
    for path in ["/live/demo/index.m3u8", "/live/never-heard-of/index.m3u8"] {
        assert!(
            header(&door.get(path).await, "location").starts_with("http://relay:1/live/"),
            "{path}"
        );
    }
}

/// The state is emptied: for a moment the control plane knows no relay and no stream.
#[tokio::test(start_paused = true)]
async fn players_are_redirected_by_what_was_known_right_after_the_state_was_wiped() {
    let carrier = node(1, 9000);
    let before = Door::new().with_directory().await;
    let door = before
        .with_nodes(vec![carrier.clone()])
        .await
        .with_tree(&carrier)
        .await;
    assert_eq!(door.get("/live/demo/index.m3u8").await.status(), 307);
    door.cut_off().await;
    let door = door.with_services_anew().with_nodes(vec![]).await;
    let no_stream = |ask: GetStream| async move {
        Err(Problem::new(
            Code::NotFound,
            format!("there is no stream {}", ask.slug),
        ))
    };
    door.bus()
        .serve("directory", &door.services, no_stream)
        .await
        .unwrap();
    tokio::time::advance(Duration::from_millis(1_500)).await;
    assert_eq!(
        header(&door.get("/live/demo.flv").await, "location"),
        "http://relay:1/live/demo.flv"
    );
    problem(&door.get("/live/never-known.flv").await, 404, "not_found");
    tokio::time::advance(LEASE).await;
    problem(&door.get("/live/demo.flv").await, 404, "not_found");
}
