//! Fan-out to players that hold a connection: HTTP-FLV and RTMP play.
//!
//! A viewer is a cursor and a socket. Each batch is a list of shared slices that one system call
//! writes. That call is most of the cost of a viewer, so viewers are written to as rarely as their
//! latency allows. A viewer that falls behind skips whole GOPs, and disturbs no other.

use super::refusal::refusal;
use crate::core::{ReaderGuard, ReaderKind, Relay, Stream, ViewersLeave};
use crate::feed::wait_until_flowing;
use crate::http::{self, HttpError, Request, Slices};
use crate::log::{Cursor, Item};
use crate::observe::Exchange;
use astral_media::frame::{Frame, Parameters, Track};
use astral_media::{flv, rtmp};
use astral_proto::{Code, Problem, Slug};
use bytes::Buf;
use std::sync::Arc;
use tokio::io::AsyncWrite;

/// Content-Type of HTTP-FLV.
pub const FLV_TYPE: &str = "video/x-flv";

/// A viewer skips GOPs only if it is further behind than this, however short GOPs are.
const BEHIND_MAX_MICROS: u64 = 3_000_000;

/// How often a viewer is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// Once per video frame; audio is written with the next one.
    #[default]
    Low,
    /// Once per 100 ms, at a third of the cost.
    Economy,
}

/// The wire form a viewer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// FLV tags.
    Flv,
    /// RTMP messages.
    Rtmp,
}

impl Form {
    fn put_parameters(self, parameters: &Parameters, dts_us: u64, out: &mut Slices) {
        match self {
            Form::Flv => {
                out.push(flv::metadata_tag(parameters));
                out.push(flv::config_tags(parameters, (dts_us / 1000) as u32));
            }
            Form::Rtmp => rtmp::parameter_messages(parameters, (dts_us / 1000) as u32)
                .into_iter()
                .for_each(|slice| out.push(slice)),
        }
    }

    fn put_frame(self, wired: &crate::log::WireFrame, out: &mut Slices) {
        let slices = match self {
            Form::Flv => std::slice::from_ref(wired.flv()),
            Form::Rtmp => wired.rtmp(),
        };
        slices.iter().for_each(|slice| out.push(slice.clone()));
    }
}

/// Answers GET and HEAD of `/live/SLUG.flv`.
///
/// # Errors
/// [`HttpError`] when the viewer's socket fails or takes nothing.
pub async fn serve_flv<S>(
    relay: &Relay,
    socket: &mut S,
    request: &Request,
    slug: &Slug,
    exchange: Exchange,
) -> Result<(), HttpError>
where
    S: AsyncWrite + Unpin,
{
    let admitted = match latency(request) {
        Ok(latency) => exchange
            .within(admit(relay, slug))
            .await
            .map(|stream| (stream, latency)),
        Err(problem) => Err(problem),
    };
    let (stream, latency) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            let refusal = refusal(relay, request, &problem);
            exchange.refused(refusal.status, &problem);
            let mut last = request.clone();
            last.keep_alive = false;
            return http::respond(socket, &last, refusal).await.map(drop);
        }
    };
    if request.method == "HEAD" {
        // As for GET: an endless body has no length.
        exchange.answered(200);
        let mut head = Slices::default();
        head.push(http::endless_head(FLV_TYPE));
        return http::write_all(socket, &mut head).await.map(drop);
    }
    let reader = ReaderGuard::new(&stream, ReaderKind::Flv);
    let mut out = Slices::default();
    out.push(http::endless_head(FLV_TYPE));
    let parameters = stream
        .log
        .newest_start()
        .map(|start| start.parameters.clone());
    let tracks = parameters.map_or((true, true), |p| (p.video.is_some(), p.audio.is_some()));
    out.push(flv::file_header(tracks.0, tracks.1));
    http::write_all(socket, &mut out).await?;
    exchange.answered(200);
    show(relay, &reader, Form::Flv, latency, socket).await
}

fn latency(request: &Request) -> Result<Latency, Problem> {
    match request.parameter("latency") {
        None | Some("low") => Ok(Latency::Low),
        Some("economy") => Ok(Latency::Economy),
        Some(other) => {
            let detail = format!("latency {other:?} is neither low nor economy");
            Err(Problem::new(Code::BadRequest, detail))
        }
    }
}

/// The stream for one more viewer.
///
/// # Errors
/// As [`wait_until_flowing`]; `not_begun` after the stream has ended, `full` when the relay has no
/// room.
pub async fn admit(relay: &Relay, slug: &Slug) -> Result<Arc<Stream>, Problem> {
    let stream = wait_until_flowing(relay, slug).await?;
    if stream.log.has_ended() {
        return Err(stream.has_ended_problem());
    }
    relay.check_room_for_viewer(&stream)?;
    Ok(stream)
}

/// Shows `reader` its stream from the newest keyframe on, until it ends, is let go, or the relay
/// leaves.
///
/// # Errors
/// `HttpError` when the viewer's socket fails or takes nothing.
pub async fn show<S>(
    relay: &Relay,
    reader: &ReaderGuard,
    form: Form,
    latency: Latency,
    socket: &mut S,
) -> Result<(), HttpError>
where
    S: AsyncWrite + Unpin,
{
    let stream = reader.stream();
    let mut news = match latency {
        Latency::Low => stream.log.watch_pictures(),
        Latency::Economy => stream.log.watch_batches(),
    };
    let mut cursor = Cursor::at(stream.log.newest_entry().unwrap_or_default());
    let mut viewer = Viewer {
        form,
        parameters: None,
        pending: None,
        lead_in: LeadIn::Awaited,
    };
    let mut items = Vec::new();
    let mut out = Slices::default();
    let dismissals = stream.dismissals();
    loop {
        news.borrow_and_update();
        let mut leaves = false;
        if stream.dismissals() != dismissals {
            return Ok(());
        }
        if let Some(tags) = viewer
            .takes_tags()
            .then(|| stream.log.read_tags(&mut cursor))
            .flatten()
        {
            out.push(tags);
        } else {
            stream.log.read(&mut cursor, &mut items);
            if items.is_empty() {
                if stream.log.has_ended() || leaves_at_once(relay) {
                    return Ok(());
                }
                drop(news.changed().await);
                continue;
            }
            leaves = relay.departure().viewers_leave() != ViewersLeave::Never
                && stops_at_gop_end(&mut items);
            items.drain(..).for_each(|item| viewer.put(item, &mut out));
        }
        let bytes = out.remaining();
        let waited = http::write_all(socket, &mut out).await?;
        reader.sent(bytes);
        if leaves {
            return Ok(());
        }
        if waited {
            skip_if_behind(stream, &mut cursor);
        }
    }
}

fn leaves_at_once(relay: &Relay) -> bool {
    relay.departure().viewers_leave() == ViewersLeave::AtOnce
}

/// Whether a GOP ends in `items`. If so, removes everything after its end.
fn stops_at_gop_end(items: &mut Vec<Item>) -> bool {
    let end = items.iter().position(|item| matches!(item, Item::End(_)));
    end.inspect(|end| items.truncate(end + 1)).is_some()
}

struct Viewer {
    form: Form,
    /// The parameters that the player has.
    parameters: Option<Arc<Parameters>>,
    /// The parameters that it must get before the next frame, whose time is not known yet.
    pending: Option<Arc<Parameters>>,
    lead_in: LeadIn,
}

/// Decides which sound is left out at the start of a viewer. Where pictures are shown later than
/// they are decoded (B-frames), sound before the first picture is shown would be heard before
/// anything is seen. A player that counts time from such a sound also finds each picture between
/// two of its ticks: ffmpeg then complains about times that do not rise.
#[derive(Clone, Copy)]
enum LeadIn {
    /// Nothing was sent yet.
    Awaited,
    /// The first picture is shown at this time, microseconds; sound before it is left out.
    Until(u64),
    /// Everything is sent.
    Over,
}

impl LeadIn {
    /// Takes the next frame. Returns whether it is left out.
    fn leaves_out(&mut self, frame: &Frame) -> bool {
        if frame.track == Track::Data {
            return false;
        }
        let is_sound = frame.track == Track::Audio;
        *self = match *self {
            LeadIn::Awaited if is_sound => LeadIn::Over,
            LeadIn::Awaited => LeadIn::Until(frame.dts.saturating_add_signed(frame.cts.into())),
            LeadIn::Until(shown) if frame.dts >= shown => LeadIn::Over,
            unchanged => unchanged,
        };
        is_sound && matches!(self, LeadIn::Until(_))
    }
}

impl Viewer {
    /// Whether it can get plain runs of FLV tags next.
    fn takes_tags(&self) -> bool {
        self.form == Form::Flv && self.pending.is_none() && matches!(self.lead_in, LeadIn::Over)
    }

    fn put(&mut self, item: Item, out: &mut Slices) {
        match item {
            Item::Start(start) => {
                if self.parameters.as_ref() != Some(&start.parameters) {
                    self.pending = Some(start.parameters.clone());
                }
            }
            Item::Frame(wired) if self.lead_in.leaves_out(&wired.frame) => {}
            Item::Frame(wired) => {
                if let Some(parameters) = self.pending.take() {
                    self.form.put_parameters(&parameters, wired.frame.dts, out);
                    self.parameters = Some(parameters);
                }
                self.form.put_frame(&wired, out);
            }
            Item::End(_) => {}
        }
    }
}

/// Moves a viewer that is more than one GOP and [`BEHIND_MAX_MICROS`] behind to the newest
/// keyframe.
fn skip_if_behind(stream: &Stream, cursor: &mut Cursor) {
    let Some(entry) = stream.log.newest_entry() else {
        return;
    };
    let is_gops_behind = entry.gop > cursor.gop() + 1;
    if is_gops_behind && stream.log.micros_after(cursor) > BEHIND_MAX_MICROS {
        metrics::counter!("astral_viewer_gops_skipped_total").increment(entry.gop - cursor.gop());
        *cursor = Cursor::at(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frame;

    fn at(track: Track, dts: u64, cts: i32) -> Frame {
        Frame {
            track,
            dts,
            cts,
            ..Frame::clone(&frame(0, 0))
        }
    }

    #[test]
    fn sound_before_the_first_picture_is_shown_is_left_out() {
        let mut lead_in = LeadIn::Awaited;
        let frames = [
            (at(Track::Video, 0, 67_000), false),
            (at(Track::Audio, 10_000, 0), true),
            (at(Track::Video, 33_000, 133_000), false),
            (at(Track::Audio, 66_999, 0), true),
            (at(Track::Audio, 67_000, 0), false),
            (at(Track::Audio, 90_000, 0), false),
        ];
        for (frame, left_out) in frames {
            assert_eq!(lead_in.leaves_out(&frame), left_out, "{frame:?}");
        }
    }

    #[test]
    fn sound_alone_is_heard_from_its_first_frame_on() {
        let mut lead_in = LeadIn::Awaited;
        assert!(!lead_in.leaves_out(&at(Track::Audio, 0, 0)));
        assert!(!lead_in.leaves_out(&at(Track::Audio, 21_333, 0)));
    }
}
