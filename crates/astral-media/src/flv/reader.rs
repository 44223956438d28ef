//! Reads FLV files. Relays only send them. The viewer of `astral demo` and tests read them to check
//! what relays send.

use super::{FlvError, TAG_HEAD_BYTES, TRAILER_BYTES};
use astral_proto::limits::FRAME_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};

const FILE_HEAD_BYTES: usize = 9;
/// Room for the head of a body, besides the largest frame.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX + 64;
/// Most unread bytes that a reader holds: the largest tag, and one more read from a socket.
const BACKLOG_BYTES_MAX: usize = BODY_BYTES_MAX + (1 << 20);
const ENCRYPTED: u8 = 0x20;

/// One tag of an FLV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `TYPE_AUDIO`, `TYPE_VIDEO` or `TYPE_DATA`.
    pub tag_type: u8,
    /// Decoding time in milliseconds, modulo 2³².
    pub timestamp_ms: u32,
    /// The body, for [`super::parse_video`] or [`super::parse_audio`].
    pub body: Bytes,
}

/// Reads the tags of an FLV file that arrives in pieces. It holds at most one tag of 8 MiB and 1
/// MiB more. After an error it rejects everything.
#[derive(Debug, Default)]
pub struct FlvReader {
    unread: BytesMut,
    started: bool,
}

impl FlvReader {
    /// Creates a reader at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the file. Take out all tags before the next call.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FlvError> {
        let total = self.unread.len() + bytes.len();
        if total > BACKLOG_BYTES_MAX {
            return Err(FlvError::Backlog {
                bytes: total,
                max: BACKLOG_BYTES_MAX,
            });
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the next tag; `None` until more bytes are pushed.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        if !self.started && !self.skip_file_head()? {
            return Ok(None);
        }
        let Some(head) = self.unread.first_chunk::<TAG_HEAD_BYTES>().copied() else {
            return Ok(None);
        };
        let size = tag_body_bytes(head)?;
        if self.unread.len() < TAG_HEAD_BYTES + size + TRAILER_BYTES {
            return Ok(None);
        }
        let trailer = &self.unread[TAG_HEAD_BYTES + size..][..TRAILER_BYTES];
        if trailer != ((TAG_HEAD_BYTES + size) as u32).to_be_bytes() {
            return Err(FlvError::File(
                "PreviousTagSize is not the size of the tag before it",
            ));
        }
        self.unread.advance(TAG_HEAD_BYTES);
        let body = self.unread.split_to(size).freeze();
        self.unread.advance(TRAILER_BYTES);
        let timestamp_ms = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        Ok(Some(Tag {
            tag_type: head[0],
            timestamp_ms,
            body,
        }))
    }

    /// Skips the file header and PreviousTagSize0. Returns whether they were complete.
    fn skip_file_head(&mut self) -> Result<bool, FlvError> {
        let known = self.unread.len().min(4);
        if self.unread[..known] != b"FLV\x01"[..known] {
            return Err(FlvError::File("it does not start with FLV and version 1"));
        }
        let Some(head) = self
            .unread
            .first_chunk::<{ FILE_HEAD_BYTES + TRAILER_BYTES }>()
        else {
            return Ok(false);
        };
        if head[5..] != [0, 0, 0, 9, 0, 0, 0, 0] {
            return Err(FlvError::File(
                "its header is not of 9 bytes followed by PreviousTagSize0",
            ));
        }
        self.unread.advance(FILE_HEAD_BYTES + TRAILER_BYTES);
        self.started = true;
        Ok(true)
    }
}

fn tag_body_bytes(head: [u8; TAG_HEAD_BYTES]) -> Result<usize, FlvError> {
    if head[0] & ENCRYPTED != 0 {
        return Err(FlvError::File("a tag is encrypted"));
    }
    let bytes = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    if bytes > BODY_BYTES_MAX {
        Err(FlvError::TagSize {
            bytes,
            max: BODY_BYTES_MAX,
        })
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TYPE_DATA, file_header, write::put_tag};
    use super::*;
    use proptest::prelude::*;

    fn file(tags: &[Tag]) -> BytesMut {
        let mut file = BytesMut::from(&file_header(true, true)[..]);
        for tag in tags {
            put_tag(&mut file, tag.tag_type, &tag.body, tag.timestamp_ms);
        }
        file
    }

    fn read(pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<Tag>, FlvError> {
        let mut reader = FlvReader::new();
        let mut tags = Vec::new();
        for piece in pieces {
            reader.push(&piece)?;
            while let Some(tag) = reader.next_tag()? {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    fn tags() -> impl Strategy<Value = Vec<Tag>> {
        let body = prop::collection::vec(any::<u8>(), 0..64);
        let tag = (prop::sample::select(vec![8u8, 9, 18]), any::<u32>(), body).prop_map(
            |(tag_type, timestamp_ms, body)| Tag {
                tag_type,
                timestamp_ms,
                body: body.into(),
            },
        );
        prop::collection::vec(tag, 0..8)
    }

    #[test]
    fn refuses_what_is_no_flv() {
        assert!(matches!(read([b"FLY".to_vec()]), Err(FlvError::File(_))));
        assert!(matches!(
            read([b"FLV\x01\x05\0\0\0\x0a\0\0\0\0".to_vec()]),
            Err(FlvError::File(_))
        ));
        let mut file = file(&[Tag {
            tag_type: TYPE_DATA,
            timestamp_ms: 0,
            body: Bytes::from_static(b"x"),
        }]);
        *file.last_mut().unwrap() += 1;
        assert!(matches!(read([file.to_vec()]), Err(FlvError::File(_))));
    }

    #[test]
    fn holds_a_bounded_amount() {
        let mut huge = file(&[]);
        huge.extend_from_slice(&[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert!(matches!(
            read([huge.to_vec()]),
            Err(FlvError::TagSize { .. })
        ));
        let mut reader = FlvReader::new();
        let error = reader.push(&vec![0; BACKLOG_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(error, FlvError::Backlog { .. }));
    }

    proptest! {
        #[test]
        fn tags_are_the_same_however_the_file_is_cut(tags in tags(), size in 1usize..40) {
            let file = file(&tags);
            prop_assert_eq!(read(file.chunks(size).map(<[u8]>::to_vec)).unwrap(), tags);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes: Vec<u8>, header: bool) {
            if header {
                bytes.splice(..0, file_header(true, true));
            }
            let _ = read([bytes]);
        }
    }
}
