//! The page in a real browser.

mod contest;
mod edge;
mod file;
mod network;
mod page;
mod phone;
mod refusals;
mod unusual;

use astral_proto::message::CreateStream;
use astral_proto::model::StreamState;
use futures_util::{StreamExt, stream};
use harness::{Cluster, Publisher, conformance};
use page::Page;
use std::time::Duration;

/// Defines the functions that the conditions below use. It must run after the page has loaded.
const HELPERS: &str = "
    window.video ??= document.querySelector('video');
    window.hls ??= astralPlayer.hls;
    window.stream = async () => (await fetch('/v1/streams/demo')).json();
    window.pixels = (picture) => {
        const context = new OffscreenCanvas(32, 18).getContext('2d');
        context.drawImage(picture, 0, 0, 32, 18);
        return context.getImageData(0, 0, 32, 18).data.filter((_, at) => at % 4 < 3);
    };
    window.isBlank = (pixels) => Math.max(...pixels) - Math.min(...pixels) < 50;
    window.remember = (picture) => { window.before = { time: picture.currentTime, pixels: pixels(picture).join() } };
    window.hasChanged = (picture) => pixels(picture).join() !== before.pixels;
    window.hasPlayedOn = (seconds) => video.currentTime > before.time + seconds && hasChanged(video);
    true";

/// Starts three relays, publishes `demo` to the first, and opens its page until it plays.
async fn watching(name: &str) -> (Cluster, Publisher, Page) {
    let cluster = Cluster::start(3).await;
    let publisher = Publisher::start(cluster.rtmp(1), "demo");
    // Before that the page is told that there is no such stream, which counts as a failure.
    cluster.is_listed("demo", StreamState::Live).await;
    let page = Page::open(name, &format!("http://{}/watch/demo", cluster.http())).await;
    page.eventually("astralPlayer.state === 'playing'").await;
    page.evaluate(HELPERS).await;
    plays_on(&page, 1).await;
    (cluster, publisher, page)
}

/// Waits until the page has shown `seconds` of moving pictures.
async fn plays_on(page: &Page, seconds: u32) {
    page.evaluate("remember(video)").await;
    page.eventually(&format!("hasPlayedOn({seconds})")).await;
}

/// Checks that the page still has its first player, and that this player never gave up.
async fn never_gave_up(page: &Page) {
    assert_eq!(
        page.evaluate("document.querySelector('video') === video")
            .await,
        true,
        "same video element"
    );
    assert_eq!(
        page.evaluate("astralPlayer.hls === hls").await,
        true,
        "same hls.js"
    );
    let events = page.evaluate("JSON.stringify(astralPlayer.events)").await;
    assert_eq!(
        page.evaluate("astralPlayer.fatalErrors").await,
        0,
        "{events}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_a_live_picture_that_changes() {
    let cluster = Cluster::start(1).await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    let page = Page::open("list", &format!("http://{}/", cluster.http())).await;
    page.eventually("document.querySelector('.card[data-picture] h2').textContent === 'demo'")
        .await;
    page.evaluate(&HELPERS.replace("astralPlayer.hls", "null"))
        .await;
    page.evaluate("window.canvas = document.querySelector('.card canvas')")
        .await;
    assert_eq!(page.evaluate("isBlank(pixels(canvas))").await, false);
    page.evaluate("remember(canvas)").await;
    page.eventually("hasChanged(canvas) && !isBlank(pixels(canvas))")
        .await;
    assert_eq!(
        page.evaluate("stream().then(({ viewers }) => viewers.hls)")
            .await,
        0,
        "a thumbnail is no viewer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_page_plays_at_the_live_edge() {
    let (cluster, _publisher, page) = watching("watch").await;
    assert_eq!(page.evaluate("isBlank(pixels(video))").await, false);
    plays_on(&page, 3).await;
    page.eventually(
        "/^live · \\d\\.\\d s behind/.test(document.querySelector('#status').textContent)",
    )
    .await;
    never_gave_up(&page).await;
    conformance::watch(cluster.media(3), "demo", 2)
        .await
        .faults
        .assert_none("what the page plays");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_player_plays_on_when_the_publisher_restarts() {
    let (cluster, publisher, page) = watching("restart").await;
    publisher.kill().await;
    page.eventually("(await stream()).state === 'grace'").await;
    page.eventually(
        "document.querySelector('#status').textContent === 'the publisher is away, waiting…'",
    )
    .await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    page.eventually("await stream().then(({state, epoch}) => state === 'live' && epoch === 2)")
        .await;
    plays_on(&page, 5).await;
    never_gave_up(&page).await;
}

/// A viewer does not notice that its relay dies. The player is moved to the relay that is furthest
/// from the origin, which serves the same bytes under the same paths, and the sockets of that relay
/// are cut.
#[tokio::test(flavor = "multi_thread")]
async fn player_goes_to_another_relay_when_its_own_is_cut() {
    let (cluster, _publisher, page) = watching("cut").await;
    let host = cluster.media(3);
    page.evaluate(&format!(
        "astralPlayer.route.learn('http://{host}/live/demo/media.m3u8')"
    ))
    .await;
    plays_on(&page, 3).await;
    assert_eq!(
        page.evaluate("astralPlayer.route.host").await,
        host.to_string()
    );
    let drill = "(async () => {
        const { items } = await (await fetch('/v1/nodes')).json();
        const { uuid } = items.find(({ media_url }) => media_url.endsWith(astralPlayer.route.host));
        const body = JSON.stringify({ fault: 'cut', seconds: 5 });
        const headers = { 'content-type': 'application/json' };
        return (await fetch(`/v1/nodes/${uuid}/drill`, { method: 'POST', headers, body })).status;
    })()";
    assert_eq!(page.evaluate(drill).await, 204);
    page.eventually(&format!(
        "!['{host}', ''].includes(astralPlayer.route.host)"
    ))
    .await;
    plays_on(&page, 5).await;
    never_gave_up(&page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_that_a_stream_has_ended_and_plays_when_it_is_back() {
    let (cluster, publisher, page) = watching("ended").await;
    publisher.kill().await;
    page.eventually("document.querySelector('#status').textContent === 'this stream has ended'")
        .await;
    let _publisher = Publisher::start(cluster.rtmp(1), "demo");
    page.eventually("document.querySelector('#status').textContent.startsWith('live')")
        .await;
    plays_on(&page, 3).await;
    assert_eq!(
        page.evaluate("document.querySelector('video') === video")
            .await,
        true,
        "same video element"
    );
}

/// How many names are created at the same time.
const MADE_AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_a_live_stream_among_two_thousand_idle_names() {
    let cluster = Cluster::start(1).await;
    let bus = &cluster.network.backend.bus;
    let making = (0..2_100).map(|number| async move {
        let slug = format!("idle-{number:04}").parse().expect("a slug");
        let made = bus
            .request(&CreateStream { slug, key: None }, Duration::from_secs(10))
            .await;
        made.expect("it is made");
    });
    stream::iter(making)
        .buffer_unordered(MADE_AT_ONCE)
        .collect::<()>()
        .await;
    let page = Page::open("list-long", &format!("http://{}/", cluster.http())).await;
    page.eventually("document.body.dataset.view === 'empty'")
        .await;
    let _publisher = Publisher::start(cluster.rtmp(1), "zz-last");
    page.eventually("document.querySelector('.card h2')?.textContent === 'zz-last'")
        .await;
    assert_eq!(
        page.evaluate("document.querySelectorAll('.card').length")
            .await,
        1
    );
    assert_eq!(
        page.evaluate("document.querySelector('#summary').textContent")
            .await,
        "1 stream · 0 viewers"
    );
}

/// Returns the text of the box for publishers once the page has loaded.
async fn told_to_publishers(page: &Page) -> String {
    page.eventually("document.querySelector('[data-publish][data-server]')")
        .await;
    let seen = "document.querySelector('.empty [data-publish]').innerText";
    page.evaluate(seen).await.as_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_told_the_address_that_the_operator_has_set() {
    let tokens =
        std::env::temp_dir().join(format!("astral-browser-tokens-{}.toml", std::process::id()));
    std::fs::write(&tokens, "").expect("a file in the temporary directory");
    let tokens = tokens.display().to_string();
    let flags = [
        "--publish-url",
        "rtmps://studio.example:1936/live/",
        "--api-tokens-file",
        &tokens,
    ];
    let cluster = Cluster::start_with(2, &flags).await;
    std::fs::remove_file(&tokens).expect("it was read");
    let page = Page::open("publish", &format!("http://{}/", cluster.http())).await;
    let told = told_to_publishers(&page).await;
    assert!(
        told.contains("Server\nrtmps://studio.example:1936/live\n"),
        "{told}"
    );
    assert!(
        told.contains("-f flv rtmps://studio.example:1936/live/demo"),
        "{told}"
    );
    assert!(
        !told.contains("127.0.0.1:1935") && !told.contains(&cluster.rtmp(1).to_string()),
        "{told}"
    );
    let ingest: serde_json::Value = cluster.get("/v1/ingest").await.json();
    assert_eq!(ingest["publish_url"], "rtmps://studio.example:1936/live");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_told_the_first_relay_of_a_network_on_loopback() {
    let cluster = Cluster::start(3).await;
    let page = Page::open("publish-loopback", &format!("http://{}/", cluster.http())).await;
    let told = told_to_publishers(&page).await;
    assert!(
        told.contains(&format!("Server\nrtmp://{}/live\n", cluster.rtmp(1))),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_sent_to_the_operator_where_no_address_is_known() {
    let flags = [
        "--http-listen",
        "0.0.0.0:0",
        "--rtmp-listen",
        "0.0.0.0:0",
        "--allow-open",
    ];
    let cluster = Cluster::start_with(1, &flags).await;
    let page = Page::open(
        "publish-unknown",
        &format!("http://127.0.0.1:{}/", cluster.http().port()),
    )
    .await;
    let told = told_to_publishers(&page).await;
    assert!(told.contains("Ask them for the server"), "{told}");
    assert!(
        !told.contains("rtmp://") && !told.contains("null"),
        "{told}"
    );
    page.evaluate("location.href = '/watch/demo'").await;
    page.eventually(
        "document.querySelector('[data-link=hls]')?.textContent.includes('/live/demo/')",
    )
    .await;
    page.eventually("document.querySelector('[data-link=rtmp]').closest('[data-row]').hidden")
        .await;
}
