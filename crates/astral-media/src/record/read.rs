//! Reads records one at a time from the bytes that have arrived.

use super::{
    CONFIG_BYTES_MAX, FLAG_AUDIO, FLAG_DATA, FLAG_KEYFRAME, PATH_MAX, RECORD_BYTES_MAX, Record,
    kind,
};
use crate::frame::{
    AudioCodec, AudioParameters, Frame, GopEnd, GopStart, Parameters, Track, VideoCodec,
    VideoParameters, first_fragment_of,
};
use astral_proto::{FrameId, Incarnation, NodeId};
use bytes::{Buf, Bytes, BytesMut};
use std::sync::Arc;

/// Why bytes are not a record. The link is then closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record is too long.
    #[error("record of {0} bytes is over the limit of {RECORD_BYTES_MAX}")]
    TooLong(usize),
    /// The record ends before its fields.
    #[error("record of type {0} is cut short")]
    Short(u8),
    /// A field has an impossible value.
    #[error("record field {0} has the impossible value {1}")]
    Field(&'static str, u64),
    /// A GOP starts before any parameters were sent.
    #[error("a GOP starts before its parameters were sent")]
    NoParameters,
}

/// Removes the next complete record of a known type from `bytes`. Returns `None` until more bytes
/// have arrived.
///
/// `parameters` keeps the last [`Record::Parameters`], to which each GOP start refers.
///
/// # Errors
/// [`RecordError`] for bytes that no relay sends.
pub fn read(
    bytes: &mut BytesMut,
    parameters: &mut Option<Arc<Parameters>>,
) -> Result<Option<Record>, RecordError> {
    while let Some(body) = whole_record(bytes)? {
        let Some(record) = body.record(parameters)? else {
            continue;
        };
        if let Record::Parameters(new) = &record {
            *parameters = Some(new.clone());
        }
        return Ok(Some(record));
    }
    Ok(None)
}

fn whole_record(bytes: &mut BytesMut) -> Result<Option<Body>, RecordError> {
    let Some(head) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*head) as usize;
    if length > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong(length));
    }
    if bytes.len() < 4 + length {
        bytes.reserve(4 + length - bytes.len());
        return Ok(None);
    }
    bytes.advance(4);
    let mut body = bytes.split_to(length).freeze();
    let kind = body.try_get_u8().map_err(|_| RecordError::Short(0))?;
    Ok(Some(Body { kind, bytes: body }))
}

struct Body {
    kind: u8,
    bytes: Bytes,
}

impl Body {
    /// Returns `None` for a type of a later version. Bytes after the known fields belong to a later
    /// version too.
    fn record(
        mut self,
        parameters: &Option<Arc<Parameters>>,
    ) -> Result<Option<Record>, RecordError> {
        let record = match self.kind {
            kind::PATH => Record::Path(self.path()?),
            kind::PARAMETERS => Record::Parameters(Arc::new(self.parameters()?)),
            kind::START => {
                Record::Start(self.start(parameters.clone().ok_or(RecordError::NoParameters)?)?)
            }
            kind::FRAME => self.frame()?,
            kind::END => Record::End(self.end()?),
            kind::KEEP_ALIVE => self.keep_alive()?,
            kind::ENDED => Record::Ended,
            kind::VERSION => Record::Version(self.u16()?),
            _ => return Ok(None),
        };
        Ok(Some(record))
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.bytes
            .try_get_u8()
            .map_err(|_| RecordError::Short(self.kind))
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.bytes
            .try_get_u32()
            .map_err(|_| RecordError::Short(self.kind))
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.bytes
            .try_get_u64()
            .map_err(|_| RecordError::Short(self.kind))
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.bytes
            .try_get_u16()
            .map_err(|_| RecordError::Short(self.kind))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, RecordError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(RecordError::Field(name, u64::from(other))),
        }
    }

    fn frame_id(&mut self) -> Result<FrameId, RecordError> {
        Ok(FrameId::new(self.u64()?, self.u32()?))
    }

    fn target(&mut self) -> Result<Option<u32>, RecordError> {
        Ok(Some(self.u32()?).filter(|seconds| *seconds > 0))
    }

    fn path(&mut self) -> Result<Vec<NodeId>, RecordError> {
        let count = usize::from(self.u8()?);
        if count > PATH_MAX {
            return Err(RecordError::Field("path length", count as u64));
        }
        (0..count).map(|_| self.node()).collect()
    }

    fn node(&mut self) -> Result<NodeId, RecordError> {
        let value = self
            .bytes
            .try_get_u128()
            .map_err(|_| RecordError::Short(self.kind))?;
        Ok(NodeId(uuid::Uuid::from_u128(value)))
    }

    fn parameters(&mut self) -> Result<Parameters, RecordError> {
        Ok(Parameters {
            incarnation: Incarnation::from_bits(self.u32()?),
            epoch: self.u64()?,
            init: self.u32()?,
            video: self.video()?,
            audio: self.audio()?,
        })
    }

    fn video(&mut self) -> Result<Option<VideoParameters>, RecordError> {
        let codec = match self.u8()? {
            0 => return Ok(None),
            1 => VideoCodec::H264,
            2 => VideoCodec::Hevc,
            3 => VideoCodec::Av1,
            other => return Err(RecordError::Field("video codec", u64::from(other))),
        };
        let width = self.u16()?;
        let height = self.u16()?;
        Ok(Some(VideoParameters {
            codec,
            width,
            height,
            config: self.config()?,
        }))
    }

    fn audio(&mut self) -> Result<Option<AudioParameters>, RecordError> {
        let codec = match self.u8()? {
            0 => return Ok(None),
            1 => AudioCodec::Aac,
            2 => AudioCodec::Opus,
            other => return Err(RecordError::Field("audio codec", u64::from(other))),
        };
        let sample_rate = self.u32()?;
        let channels = self.u8()?;
        Ok(Some(AudioParameters {
            codec,
            sample_rate,
            channels,
            config: self.config()?,
        }))
    }

    fn config(&mut self) -> Result<Bytes, RecordError> {
        let length = self.u32()? as usize;
        if length > CONFIG_BYTES_MAX {
            return Err(RecordError::Field("config length", length as u64));
        }
        if length > self.bytes.len() {
            return Err(RecordError::Short(self.kind));
        }
        Ok(Bytes::copy_from_slice(&self.bytes.split_to(length)))
    }

    fn start(&mut self, parameters: Arc<Parameters>) -> Result<GopStart, RecordError> {
        let gop = self.u64()?;
        Ok(GopStart {
            parameters,
            gop,
            discontinuity: self.u64()?,
            independent: self.flag("independent")?,
            starts_at: self.u64()?,
            wall_clock: self.u64()?.into(),
            program_date_time: self.u64()?.into(),
            target_duration_seconds: self.target()?,
            // Older relays do not send it.
            first_fragment: self
                .bytes
                .try_get_u32()
                .unwrap_or_else(|_| first_fragment_of(gop)),
        })
    }

    fn frame(mut self) -> Result<Record, RecordError> {
        let id = self.frame_id()?;
        let flags = self.u8()?;
        let track = match flags & !FLAG_KEYFRAME {
            0 => Track::Video,
            FLAG_AUDIO => Track::Audio,
            FLAG_DATA => Track::Data,
            _ => return Err(RecordError::Field("frame flags", u64::from(flags))),
        };
        let dts = self.u64()?;
        let cts = self.u32()? as i32;
        let part = self.u32()?;
        let part_starts_at = self.u32()?;
        let keyframe = flags & FLAG_KEYFRAME != 0;
        Ok(Record::Frame(Arc::new(Frame {
            id,
            track,
            keyframe,
            dts,
            cts,
            part,
            part_starts_at,
            payload: self.bytes,
        })))
    }

    fn end(&mut self) -> Result<GopEnd, RecordError> {
        Ok(GopEnd {
            gop: self.u64()?,
            frames: self.u32()?,
            duration: self.u32()?,
            video_duration: self.u32()?,
            audio_duration: self.u32()?,
            target_duration_seconds: self.target()?,
        })
    }

    fn keep_alive(&mut self) -> Result<Record, RecordError> {
        let upstream_ok = self.flag("upstream")?;
        let known = self.flag("newest")?;
        let newest = self.frame_id()?;
        Ok(Record::KeepAlive {
            newest: known.then_some(newest),
            upstream_ok,
        })
    }
}
