//! The initialization section: ftyp and moov, without samples.

use super::{AUDIO_TRACK_ID, TIMESCALE, VIDEO_TRACK_ID};
use crate::codec::avc;
use crate::frame::{AudioCodec, AudioParameters, Parameters, VideoCodec, VideoParameters};
use bytes::{Bytes, BytesMut};
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Codec, Dinf, Dref, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Mdhd, Mdia,
    Minf, Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds},
};

const AAC_OBJECT_TYPE: u8 = 0x40;
const AUDIO_STREAM_TYPE: u8 = 5;

/// Why there is no initialization section for some parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// Relays cannot write this codec yet.
    #[error("cannot write an initialization section for {0}")]
    Codec(&'static str),
    /// The configuration is not valid for its codec.
    #[error("codec configuration: {0}")]
    Configuration(String),
}

/// Returns the initialization section `/live/SLUG/INCARNATION-EPOCH/init-N.mp4` of `parameters`.
pub fn init_section(parameters: &Parameters) -> Result<Bytes, InitError> {
    let mut tracks = Vec::new();
    if let Some(video) = &parameters.video {
        tracks.push(video_track(video)?);
    }
    if let Some(audio) = &parameters.audio {
        tracks.push(audio_track(audio)?);
    }
    let mut section = BytesMut::new();
    file_type().encode(&mut section).map_err(configuration)?;
    movie(tracks).encode(&mut section).map_err(configuration)?;
    Ok(section.freeze())
}

fn configuration(error: impl ToString) -> InitError {
    InitError::Configuration(error.to_string())
}

/// iso6 is the first brand with signed composition offsets. The brands of CMAF require one track
/// per file.
fn file_type() -> Ftyp {
    let compatible_brands = vec![FourCC::new(b"iso6"), FourCC::new(b"mp41")];
    Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands,
    }
}

fn movie(trak: Vec<Trak>) -> Moov {
    let extends = |track: &Trak| Trex {
        track_id: track.tkhd.track_id,
        default_sample_description_index: 1,
        ..Trex::default()
    };
    let mvex = Mvex {
        mehd: None,
        trex: trak.iter().map(extends).collect(),
    };
    let mvhd = Mvhd {
        timescale: TIMESCALE,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: AUDIO_TRACK_ID + 1,
        ..Mvhd::default()
    };
    Moov {
        mvhd,
        mvex: Some(mvex),
        trak,
        ..Moov::default()
    }
}

fn video_track(video: &VideoParameters) -> Result<Trak, InitError> {
    let tkhd = Tkhd {
        track_id: VIDEO_TRACK_ID,
        enabled: true,
        in_movie: true,
        width: video.width.into(),
        height: video.height.into(),
        ..Tkhd::default()
    };
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        ..media_information(video_entry(video)?)
    };
    Ok(track(tkhd, b"vide", minf))
}

fn audio_track(audio: &AudioParameters) -> Result<Trak, InitError> {
    let tkhd = Tkhd {
        track_id: AUDIO_TRACK_ID,
        enabled: true,
        in_movie: true,
        volume: 1.into(),
        ..Tkhd::default()
    };
    let minf = Minf {
        smhd: Some(Smhd::default()),
        ..media_information(audio_entry(audio)?)
    };
    Ok(track(tkhd, b"soun", minf))
}

fn track(tkhd: Tkhd, handler: &[u8; 4], minf: Minf) -> Trak {
    let mdhd = Mdhd {
        timescale: TIMESCALE,
        language: "und".into(),
        ..Mdhd::default()
    };
    let hdlr = Hdlr {
        handler: FourCC::new(handler),
        name: String::new(),
    };
    Trak {
        tkhd,
        mdia: Mdia { mdhd, hdlr, minf },
        ..Trak::default()
    }
}

fn media_information(entry: Codec) -> Minf {
    let dinf = Dinf {
        dref: Dref {
            entries: vec![Url::default().into()],
        },
    };
    let stbl = Stbl {
        stsd: Stsd {
            codecs: vec![entry],
        },
        stco: Some(Stco::default()),
        ..Stbl::default()
    };
    Minf {
        dinf,
        stbl,
        ..Minf::default()
    }
}

fn video_entry(video: &VideoParameters) -> Result<Codec, InitError> {
    match video.codec {
        VideoCodec::H264 => {}
        VideoCodec::Hevc => return Err(InitError::Codec("HEVC")),
        VideoCodec::Av1 => return Err(InitError::Codec("AV1")),
    }
    let visual = Visual {
        data_reference_index: 1,
        width: video.width,
        height: video.height,
        ..Visual::default()
    };
    Ok(Avc1 {
        visual,
        avcc: avc_configuration(&video.config)?,
        ..Avc1::default()
    }
    .into())
}

fn avc_configuration(config: &[u8]) -> Result<Avcc, InitError> {
    let without_extension = avc::without_extension(config).map_err(configuration)?;
    Avcc::decode_body(&mut &config[..])
        .or_else(|_| Avcc::decode_body(&mut &without_extension[..]))
        .map_err(configuration)
}

fn audio_entry(audio: &AudioParameters) -> Result<Codec, InitError> {
    if audio.codec != AudioCodec::Aac {
        return Err(InitError::Codec("Opus"));
    }
    // The box has 16 bits for the sample rate. Decoders take higher rates from the
    // AudioSpecificConfig.
    let sample_rate = u16::try_from(audio.sample_rate).unwrap_or_default();
    let entry = Audio {
        data_reference_index: 1,
        channel_count: audio.channels.into(),
        sample_size: 16,
        sample_rate: FixedPoint::from(sample_rate),
    };
    Ok(Mp4a {
        audio: entry,
        esds: elementary_stream(&audio.config),
        btrt: None,
        taic: None,
    }
    .into())
}

fn elementary_stream(config: &[u8]) -> Esds {
    let dec_config = DecoderConfig {
        object_type_indication: AAC_OBJECT_TYPE,
        stream_type: AUDIO_STREAM_TYPE,
        dec_specific: Some(DecoderSpecific {
            raw: config.to_vec(),
            ..DecoderSpecific::default()
        }),
        ..DecoderConfig::default()
    };
    Esds {
        es_desc: EsDescriptor {
            es_id: AUDIO_TRACK_ID as u16,
            dec_config,
            ..EsDescriptor::default()
        },
    }
}
