//! Playlists and segments that nobody has, asked for in every wrong way.

use crate::house::{SLUG, house};
use crate::wire::get;
use harness::hls::{playlist, uris};

#[tokio::test]
async fn what_is_not_there_is_404_at_once() {
    let playlist = playlist(house().cluster.media(1), SLUG)
        .await
        .expect("a playlist");
    let (folder, _) = uris(&playlist)[0].split_once('/').expect("a folder");
    for asset in [
        "EPOCH/99999999.m4s",
        "EPOCH/99999999.0.m4s",
        "EPOCH/18446744073709551615.m4s",
        "EPOCH/18446744073709551615.4294967295.m4s",
        "EPOCH/99999999999999999999999999.m4s",
        "EPOCH/-1.m4s",
        "EPOCH/init-99.mp4",
        "EPOCH/init-4294967296.mp4",
        "EPOCH9/0.m4s",
        "00000000-1/0.m4s",
        "ffffffff-18446744073709551616/0.m4s",
        "1/0.m4s",
        "EPOCH/0.0.0.m4s",
        "x",
        "",
    ] {
        let target = format!("/live/{SLUG}/{}", asset.replace("EPOCH", folder));
        for relay in [1, 2] {
            get(house().cluster.media(relay), &target, "")
                .await
                .is_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_playlist_far_ahead_or_of_no_number_is_400() {
    for query in [
        "_HLS_msn=999999",
        "_HLS_msn=18446744073709551615",
        "_HLS_msn=x",
        "_HLS_msn=",
        "_HLS_msn=-1",
        "_HLS_msn=99999999999999999999999",
        "_HLS_part=0",
        "_HLS_msn=0&_HLS_part=x",
    ] {
        let target = format!("/live/{SLUG}/media.m3u8?{query}");
        get(house().cluster.media(1), &target, "")
            .await
            .is_problem(400, "bad_request");
    }
}

#[tokio::test]
async fn a_part_number_beyond_any_part_is_answered_within_the_wait_of_a_reload() {
    let target = format!("/live/{SLUG}/media.m3u8?_HLS_msn=0&_HLS_part=4294967295");
    assert_eq!(get(house().cluster.media(1), &target, "").await.status, 200);
}

#[tokio::test]
async fn a_viewer_that_wants_what_there_is_not_is_told() {
    let target = format!("/live/{SLUG}.flv?latency=none");
    get(house().cluster.media(1), &target, "")
        .await
        .is_problem(400, "bad_request");
}
