//! The page in a real browser.

mod page;

use harness::{Cluster, Publisher, eventually};
use page::Page;

/// The video's place, remembered to be compared with.
const REMEMBER: &str = "window.before = {time: video.currentTime, epoch: window.before?.epoch}";

/// Three relays with `demo` published to the first.
async fn on_air() -> (Cluster, Publisher) {
    let cluster = Cluster::start(3).await;
    let publisher = Publisher::start(cluster.rtmp(1), "demo");
    (cluster, publisher)
}
