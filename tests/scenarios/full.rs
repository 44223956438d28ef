//! A relay without room sends its viewers to the gateway, which finds another, and says so when there is none.

use astral_proto::model::StreamState;
use harness::{Cluster, Publisher, http};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_room_is_sent_to_the_gateway_which_does_not_send_it_back() {
    let flags = ["--upstream-limit", "10", "--gateway-url", "http://gateway.test/"];
    let cluster = Cluster::start_with(1, &flags).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    cluster.is_listed("demo", StreamState::Live).await;

    let relay = cluster.media(1);
    for (asked, mark) in [("/live/demo.flv", ""), ("/live/demo/index.m3u8?x=1", "x=1&")] {
        let answer = http::get(relay, asked).await.expect("the relay answers");
        let path = asked.split('?').next().unwrap();
        let location = format!("http://gateway.test{path}?{mark}full={relay}");
        assert_eq!((answer.status, answer.field("location")), (307, Some(&location[..])));
    }
    let answer = cluster.get(&format!("/live/demo.flv?full={relay}")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains(r#""code":"full""#), "{}", answer.text());
}
