//! One chunk stream: the state that later chunk headers refer to, and the open message.

use super::ChunkError;
use super::header::Header;

/// Most memory that is reserved because of the header of a message alone.
const EAGER_BYTES_MAX: usize = 64 << 10;

/// The messages of one chunk stream: its last header, and what has arrived of the open message.
pub(super) struct ChunkStream {
    pub(super) id: u32,
    pub(super) timestamp: u32,
    /// The last timestamp field. After a type 0 chunk it is the timestamp itself; a message that
    /// then begins with type 3 adds it again.
    pub(super) delta: u32,
    /// Whether the timestamp did not fit into three bytes.
    pub(super) extended: bool,
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) stream_id: u32,
    pub(super) body: Vec<u8>,
}

impl ChunkStream {
    pub(super) fn new(id: u32) -> Self {
        let body = Vec::new();
        Self {
            id,
            timestamp: 0,
            delta: 0,
            extended: false,
            length: 0,
            kind: 0,
            stream_id: 0,
            body,
        }
    }

    /// Returns how many bytes of the open message are missing.
    pub(super) fn left(&self) -> usize {
        self.length - self.body.len()
    }

    /// Takes the header of a chunk. It continues the open message, or begins the next one.
    pub(super) fn begin_chunk(&mut self, kind: u8, header: &Header) -> Result<(), ChunkError> {
        if !self.body.is_empty() {
            return match kind {
                3 => Ok(()),
                _ => Err(ChunkError::HeaderInsideMessage {
                    kind,
                    chunk_stream: self.id,
                }),
            };
        }
        self.timestamp = if kind == 0 {
            header.delta
        } else {
            self.timestamp.wrapping_add(header.delta)
        };
        self.delta = header.delta;
        self.extended = header.extended;
        self.length = header.length;
        self.kind = header.kind;
        self.stream_id = header.stream_id;
        Ok(())
    }

    /// Appends a piece of the open message.
    ///
    /// A header may announce 8 MiB and nothing may follow. So memory is reserved only for about as
    /// much as has arrived, and never for more than the message needs.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.body.capacity() - self.body.len() < bytes.len() {
            let eager = self.body.len().max(EAGER_BYTES_MAX).max(bytes.len());
            self.body.reserve_exact(eager.min(self.left()));
        }
        self.body.extend_from_slice(bytes);
    }
}
