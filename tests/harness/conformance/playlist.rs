//! A strict parser for media playlists.

use super::{Faults, Rule};
use std::collections::BTreeMap;

/// A media playlist. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// PART-TARGET.
    pub part_target: Option<u64>,
    /// PART-HOLD-BACK.
    pub part_hold_back: Option<u64>,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// CAN-BLOCK-RELOAD.
    pub can_block_reload: bool,
    /// The segments. The last one may be open, and has no URI then.
    pub segments: Vec<Segment>,
    /// The URI of the preload hint.
    pub preload_hint: Option<String>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Its URI; `None` while it is open.
    pub uri: Option<String>,
    /// EXTINF.
    pub duration: u64,
    /// The URI of its initialization section.
    pub map: Option<String>,
    /// EXT-X-DISCONTINUITY before it.
    pub discontinuity: bool,
    /// EXT-X-PROGRAM-DATE-TIME, Unix microseconds.
    pub date_time: Option<i64>,
    /// EXT-X-GAP.
    pub gap: bool,
    /// The parts that are listed.
    pub parts: Vec<Part>,
}

/// A part.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its URI.
    pub uri: String,
    /// DURATION.
    pub duration: u64,
    /// INDEPENDENT=YES.
    pub independent: bool,
}

impl MediaPlaylist {
    /// Returns the complete segments with their media sequence numbers.
    pub fn whole(&self) -> impl Iterator<Item = (u64, &Segment)> {
        (self.media_sequence..)
            .zip(&self.segments)
            .filter(|(_, segment)| segment.uri.is_some())
    }

    /// Returns the total duration of its complete segments.
    pub fn duration(&self) -> u64 {
        self.whole().map(|(_, segment)| segment.duration).sum()
    }
}

/// Parses `text`. Syntax errors are noted and skipped.
pub fn parse(text: &str, faults: &mut Faults) -> MediaPlaylist {
    faults.require(text.starts_with("#EXTM3U\n"), Rule::Header, || {
        text.chars().take(40).collect()
    });
    let mut reader = Reader::default();
    for line in text.lines().skip(1) {
        reader.line(line, faults);
    }
    reader.finish(faults)
}

#[derive(Default)]
struct Reader {
    playlist: MediaPlaylist,
    next: Segment,
    has_next: bool,
    map: Option<String>,
    extinf: Option<u64>,
    seen: BTreeMap<String, u32>,
}

impl Reader {
    fn line(&mut self, line: &str, faults: &mut Faults) {
        if line.is_empty() || (line.starts_with('#') && !line.starts_with("#EXT")) {
            return;
        }
        if !line.starts_with('#') {
            return self.uri(line, faults);
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        *self.seen.entry(tag.to_owned()).or_default() += 1;
        let understood = self
            .header(tag, value)
            .or_else(|| self.segment_tag(tag, value));
        faults.require(understood.is_some(), Rule::Syntax, || line.to_owned());
    }

    /// Takes a tag of the whole playlist; `None` if it is another tag or malformed.
    fn header(&mut self, tag: &str, value: &str) -> Option<()> {
        let playlist = &mut self.playlist;
        match tag {
            "#EXT-X-VERSION" => drop(value.parse::<u32>().ok()?),
            "#EXT-X-TARGETDURATION" => playlist.target_duration = value.parse().ok()?,
            "#EXT-X-MEDIA-SEQUENCE" => playlist.media_sequence = value.parse().ok()?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                playlist.discontinuity_sequence = value.parse().ok()?
            }
            "#EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent_segments = true,
            "#EXT-X-ENDLIST" => playlist.ended = true,
            "#EXT-X-PART-INF" => {
                playlist.part_target = Some(micros(attributes(value)?.get("PART-TARGET")?)?);
            }
            "#EXT-X-SERVER-CONTROL" => {
                let said = attributes(value)?;
                playlist.can_block_reload =
                    said.get("CAN-BLOCK-RELOAD").is_some_and(|yes| yes == "YES");
                playlist.part_hold_back = match said.get("PART-HOLD-BACK") {
                    Some(seconds) => Some(micros(seconds)?),
                    None => None,
                };
            }
            "#EXT-X-PRELOAD-HINT" => {
                let hint = attributes(value)?;
                playlist.preload_hint = Some(hint.get("URI")?.clone());
                hint.get("TYPE").filter(|kind| *kind == "PART")?;
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes a tag of the next segment; `None` if it is another tag or malformed.
    fn segment_tag(&mut self, tag: &str, value: &str) -> Option<()> {
        match tag {
            "#EXTINF" => self.extinf = Some(micros(value.split_once(',')?.0)?),
            "#EXT-X-DISCONTINUITY" => self.next.discontinuity = true,
            "#EXT-X-GAP" => self.next.gap = true,
            "#EXT-X-PROGRAM-DATE-TIME" => self.next.date_time = Some(unix_micros(value)?),
            "#EXT-X-MAP" => self.map = Some(attributes(value)?.get("URI")?.clone()),
            "#EXT-X-PART" => {
                let said = attributes(value)?;
                let independent = said.get("INDEPENDENT").is_some_and(|yes| yes == "YES");
                let uri = said.get("URI")?.clone();
                let duration = micros(said.get("DURATION")?)?;
                self.next.parts.push(Part {
                    uri,
                    duration,
                    independent,
                });
            }
            _ => return None,
        }
        self.has_next = true;
        Some(())
    }

    fn uri(&mut self, line: &str, faults: &mut Faults) {
        let duration = self.extinf.take();
        faults.require(duration.is_some(), Rule::Syntax, || {
            format!("{line} has no EXTINF")
        });
        self.next.uri = Some(line.to_owned());
        self.next.duration = duration.unwrap_or_default();
        self.end_segment();
    }

    fn end_segment(&mut self) {
        let segment = Segment {
            map: self.map.clone(),
            ..std::mem::take(&mut self.next)
        };
        self.playlist.segments.push(segment);
        self.has_next = false;
    }

    fn finish(mut self, faults: &mut Faults) -> MediaPlaylist {
        if self.has_next {
            self.end_segment();
        }
        for once in [
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
        ] {
            let count = self.seen.get(once).copied().unwrap_or_default();
            faults.require(count == 1, Rule::Syntax, || {
                format!("{once} stands {count} times")
            });
        }
        self.playlist
    }
}

/// Parses an attribute list (4.2).
pub(super) fn attributes(text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        let is_new = found.insert(name.to_owned(), value.to_owned()).is_none();
        if name.is_empty() || !name.bytes().all(is_name) || !is_new {
            return None;
        }
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => "",
            _ => return None,
        };
    }
    Some(found)
}

/// Parses decimal seconds. Returns microseconds.
pub(super) fn micros(text: &str) -> Option<u64> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_decimal)?;
    Some((seconds * 1e6).round() as u64)
}

/// Parses a date such as `2026-11-24T06:08:00.123Z` (RFC 3339). Returns Unix microseconds.
fn unix_micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    let fraction = micros(&format!("0.{fraction}"))?;
    Some(
        ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000_000
            + second * 1_000_000
            + fraction as i64,
    )
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let read: Option<Vec<i64>> = text
        .split(between)
        .map(|number| number.parse().ok())
        .collect();
    read?.try_into().ok()
}

/// Returns the days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_days = (1970..year).filter(|year| is_leap(*year)).count() as i64;
    let this_year = i64::from(is_leap(year) && month > 2);
    let before = BEFORE_MONTH
        .get((month - 1) as usize)
        .copied()
        .unwrap_or_default();
    (year - 1970) * 365 + leap_days + before + this_year + day - 1
}
