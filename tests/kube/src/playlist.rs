//! What a media playlist names, by number.

use astral_proto::EpochId;

/// A part or a segment: the order is that of playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub epoch: u64,
    pub gop: u64,
    /// None for the whole GOP.
    pub part: Option<u32>,
}

/// One line that names media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub position: Position,
    pub uri: String,
    /// The playlist says that it is missing.
    pub gap: bool,
}

/// Every part and segment that `text` names and that is there already, in order.
pub fn items(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut gap = false;
    for line in text.lines() {
        gap |= line == "#EXT-X-GAP";
        let uri = match line.strip_prefix("#EXT-X-PART:") {
            Some(attributes) => attributes
                .split_once("URI=\"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .map(|(uri, _)| uri),
            None => (!line.is_empty() && !line.starts_with('#')).then_some(line),
        };
        let Some(position) = uri.and_then(position) else {
            continue;
        };
        items.push(Item {
            position,
            uri: uri.unwrap_or_default().to_owned(),
            gap,
        });
        if position.part.is_none() {
            gap = false;
        }
    }
    items
}

/// Whether `text` says that nothing more comes.
pub fn has_ended(text: &str) -> bool {
    text.contains("#EXT-X-ENDLIST")
}

fn position(uri: &str) -> Option<Position> {
    let (epoch, file) = uri.split_once('/')?;
    let numbers = file.strip_suffix(".m4s")?;
    let (gop, part) = match numbers.split_once('.') {
        Some((gop, part)) => (gop, Some(part.parse().ok()?)),
        None => (numbers, None),
    };
    Some(Position {
        epoch: epoch.parse::<EpochId>().ok()?.epoch,
        gop: gop.parse().ok()?,
        part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_segments_and_gaps_are_told_apart() {
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"5eed0a1b-3/init-0.mp4\"\n#EXT-X-GAP\n#EXTINF:2.0,\n5eed0a1b-3/16.m4s\n\
                    #EXT-X-PART:DURATION=1.00000,URI=\"5eed0a1b-3/17.0.m4s\",INDEPENDENT=YES\n#EXTINF:2.0,\n5eed0a1b-3/17.m4s\n\
                    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"5eed0a1b-3/18.0.m4s\"\n";
        let named: Vec<_> = items(text)
            .into_iter()
            .map(|item| (item.position, item.gap))
            .collect();
        let at = |gop, part| Position {
            epoch: 3,
            gop,
            part,
        };
        assert_eq!(
            named,
            [
                (at(16, None), true),
                (at(17, Some(0)), false),
                (at(17, None), false)
            ]
        );
    }
}
