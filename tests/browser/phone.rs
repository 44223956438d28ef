//! Every page on phones: nothing is wider than the screen.

use crate::page::Page;
use astral_proto::model::StreamState;
use harness::{Cluster, Publisher};

/// Widths of common phones, in CSS pixels.
const WIDTHS: [u32; 4] = [320, 360, 390, 414];
/// The longest possible name of a stream, without a place to break it.
const LONG: &str = "a_stream_with_a_name_that_is_as_long_as_names_of_streams_may_be_";

/// Checks that the page needs no horizontal scrolling on any phone.
async fn fits(page: &Page, what: &str) {
    for width in WIDTHS {
        page.resize(width).await;
        page.eventually(&format!(
            "document.scrollingElement.clientWidth > 0 && screen.width === {width}"
        ))
        .await;
        let needed = page.evaluate("document.scrollingElement.scrollWidth").await;
        assert_eq!(needed, width, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_wider_than_the_screen_of_a_phone() {
    let cluster = Cluster::start(4).await;
    let http = cluster.http();
    let page = Page::open("phone", &format!("http://{http}/")).await;
    page.resize(WIDTHS[0]).await;
    page.eventually(
        "document.body.dataset.view === 'empty' && document.querySelector('[data-server]')",
    )
    .await;
    fits(&page, "the front page without streams").await;

    let _publisher = Publisher::start(cluster.rtmp(1), LONG);
    cluster.is_listed(LONG, StreamState::Live).await;
    page.eventually("document.querySelector('.card[data-picture]')")
        .await;
    fits(&page, "the front page with a stream").await;
    page.evaluate("document.querySelector('#go-live').click()")
        .await;
    fits(&page, "the box for publishers").await;

    page.goto(&format!("http://{http}/watch/{LONG}")).await;
    page.eventually("document.querySelector('#status').textContent.startsWith('live')")
        .await;
    page.evaluate("document.querySelector('#links').open = true")
        .await;
    fits(&page, "the page of a stream").await;

    page.goto(&format!("http://{http}/network")).await;
    page.eventually("document.querySelectorAll('#nodes tbody tr').length === 4")
        .await;
    fits(&page, "the network").await;

    page.goto(&format!("http://{http}/docs")).await;
    page.eventually("document.querySelector('.docs details')")
        .await;
    page.evaluate("document.querySelectorAll('details').forEach((shown) => (shown.open = true))")
        .await;
    fits(&page, "the API").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_fits_a_phone_too() {
    let tokens =
        std::env::temp_dir().join(format!("astral-phone-tokens-{}.toml", std::process::id()));
    std::fs::write(&tokens, "").expect("a file in the temporary directory");
    let cluster =
        Cluster::start_with(1, &["--api-tokens-file", &tokens.display().to_string()]).await;
    std::fs::remove_file(&tokens).expect("it was read");
    let page = Page::open(
        "phone-refused",
        &format!("http://{}/network", cluster.http()),
    )
    .await;
    page.eventually("!document.querySelector('#token').hidden")
        .await;
    fits(&page, "the network, for whoever has no token").await;
    page.goto(&format!("http://{}/watch/{LONG}", cluster.http()))
        .await;
    page.eventually(
        "document.querySelector('#status').textContent.startsWith('there is no stream')",
    )
    .await;
    fits(&page, "the page of a stream that does not exist").await;
}
