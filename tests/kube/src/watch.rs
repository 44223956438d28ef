//! Two HLS viewers behind a plain Service: each request may reach another relay, and none may fail.

use crate::client::Client;
use crate::fragment::FrameLog;
use crate::playlist::{self, Item, Position};
use crate::report::{Hls, Watched};
use anyhow::ensure;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Between two tries of what failed.
const RETRY: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    /// host:port of the relays' Service
    #[arg(long)]
    media: String,
    /// The stream
    #[arg(long)]
    slug: String,
}

/// Watches until told to stop.
///
/// # Errors
/// If signals cannot be had.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let [parts, segments] = [true, false].map(|parts| start(&args, parts));
    let telling = async {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let watched = Watched {
                parts: read(&parts),
                segments: read(&segments),
            };
            println!("{}", serde_json::to_string(&watched)?);
        }
    };
    tokio::select! {
        _ = stop.recv() => Ok(()),
        failed = telling => failed,
    }
}

fn start(args: &Args, parts: bool) -> Arc<Mutex<Hls>> {
    let told = Arc::<Mutex<Hls>>::default();
    let viewer = Viewer {
        client: Client::new(&args.media, parts),
        base: format!("/live/{}", args.slug),
        parts,
        log: FrameLog::default(),
        next: None,
        errors: 0,
        told: told.clone(),
    };
    tokio::spawn(viewer.watch());
    told
}

fn read(told: &Mutex<Hls>) -> Hls {
    told.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Viewer {
    client: Client,
    base: String,
    /// Part by part, else segment by segment.
    parts: bool,
    log: FrameLog,
    /// The newest piece seen.
    next: Option<Next>,
    errors: u64,
    told: Arc<Mutex<Hls>>,
}

/// What is wanted next.
#[derive(Clone, Copy)]
struct Next {
    gop: u64,
    part: u32,
}

impl Viewer {
    async fn watch(mut self) {
        loop {
            if let Err(error) = self.step().await {
                self.complain(&error);
                tokio::time::sleep(RETRY).await;
            }
            self.tell();
        }
    }

    /// One playlist and all that is new in it.
    async fn step(&mut self) -> anyhow::Result<()> {
        let text = String::from_utf8(self.client.get(&self.playlist_path()).await?)?;
        let items = playlist::items(&text);
        ensure!(!items.is_empty(), "a playlist that names nothing");
        let next = *self.next.get_or_insert_with(|| begin(&items, self.parts));
        for item in wanted(&items, next, self.parts) {
            self.take(&item).await?;
        }
        if playlist::has_ended(&text) {
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    fn playlist_path(&self) -> String {
        let base = &self.base;
        match self.next {
            None => format!("{base}/media.m3u8"),
            Some(Next { gop, part }) if self.parts => {
                format!("{base}/media.m3u8?_HLS_msn={gop}&_HLS_part={part}")
            }
            Some(Next { gop, .. }) => format!("{base}/media.m3u8?_HLS_msn={gop}"),
        }
    }

    async fn take(&mut self, item: &Item) -> anyhow::Result<()> {
        let Position { epoch, gop, part } = item.position;
        let is_known = self.next.is_some_and(|next| gop < next.gop);
        if part.is_none() && self.parts {
            // The whole of what has been seen part by part.
            self.next = Some(Next {
                gop: gop + 1,
                part: 0,
            });
            return Ok(());
        }
        if item.gap {
            self.log.take_gap(&item.uri);
        } else if !is_known {
            let path = format!("{}/{}", self.base, item.uri);
            let bytes = self.fetch(&path).await?;
            self.log.take(epoch, &item.uri, &bytes)?;
        }
        self.next = Some(match part {
            Some(part) => Next {
                gop,
                part: part + 1,
            },
            None => Next {
                gop: gop + 1,
                part: 0,
            },
        });
        Ok(())
    }

    /// Asks again, as players do, but each failure counts.
    async fn fetch(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        const TRIES: u32 = 25;
        for _ in 1..TRIES {
            match self.client.get(path).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => self.complain(&error),
            }
            self.tell();
            tokio::time::sleep(RETRY).await;
        }
        self.client.get(path).await
    }

    fn complain(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        let what = format!(
            "{} viewer: {error:#}",
            if self.parts { "parts" } else { "segments" }
        );
        self.log.complain(what);
    }

    fn tell(&self) {
        let log = &self.log;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Hls {
            frames: log.frames,
            lost: log.lost,
            disorder: log.disorder,
            errors: self.errors,
            reconnects: self.client.reconnects,
            epochs: log.epochs,
            complaints: log.complaints.clone(),
        };
    }
}

/// A viewer begins at the newest GOP that it is shown.
fn begin(items: &[Item], parts: bool) -> Next {
    let newest = items
        .iter()
        .rfind(|item| parts || item.position.part.is_none());
    Next {
        gop: newest.map_or(0, |item| item.position.gop),
        part: 0,
    }
}

/// What of `items` a viewer wants that wants `next`. A whole GOP stands in for parts that are no longer named.
fn wanted(items: &[Item], next: Next, parts: bool) -> Vec<Item> {
    let is_new = |item: &&Item| {
        let Position { gop, part, .. } = item.position;
        match part {
            Some(part) => parts && (gop > next.gop || (gop == next.gop && part >= next.part)),
            None => gop >= next.gop,
        }
    };
    let mut wanted: Vec<Item> = items.iter().filter(is_new).cloned().collect();
    if parts {
        let has_parts = |gop: u64| {
            items
                .iter()
                .any(|item| item.position.gop == gop && item.position.part.is_some())
        };
        wanted.retain(|item| {
            item.position.part.is_some() || has_parts(item.position.gop) || item.gap
        });
    }
    wanted
}
