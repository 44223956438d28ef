use super::*;
use astral_proto::Incarnation;
use bytes::BytesMut;
use proptest::prelude::*;

fn parameters() -> Arc<Parameters> {
    Arc::new(Parameters {
        incarnation: Incarnation::from_bits(0x5eed_0a1b),
        epoch: 3,
        init: 1,
        video: Some(VideoParameters {
            codec: VideoCodec::H264,
            config: Bytes::from_static(b"avcC"),
            width: 1280,
            height: 720,
        }),
        audio: None,
    })
}

fn node(seed: u128) -> NodeId {
    NodeId(uuid::Uuid::from_u128(seed))
}

fn records() -> Vec<Record> {
    let frame = Frame {
        id: FrameId::new(17, 3),
        track: Track::Audio,
        keyframe: true,
        dts: u64::MAX / 3,
        cts: -40_000,
        part: 9,
        part_starts_at: 1_900_000,
        payload: Bytes::from_static(b"payload"),
    };
    let data = Frame {
        id: FrameId::new(17, 4),
        track: Track::Data,
        ..frame.clone()
    };
    vec![
        Record::Path(vec![node(1), node(2)]),
        Record::Parameters(parameters()),
        Record::Start(GopStart {
            gop: 17,
            parameters: parameters(),
            discontinuity: 2,
            independent: true,
            starts_at: 34_000_000,
            wall_clock: 5.into(),
            program_date_time: 6.into(),
            target_duration_seconds: None,
            first_fragment: 171,
        }),
        Record::Frame(Arc::new(frame)),
        Record::Frame(Arc::new(data)),
        Record::End(GopEnd {
            gop: 17,
            frames: 5,
            duration: 2_000_000,
            video_duration: 33_333,
            audio_duration: 0,
            target_duration_seconds: Some(4),
        }),
        Record::KeepAlive {
            newest: Some(FrameId::new(17, 3)),
            upstream_ok: false,
        },
        Record::KeepAlive {
            newest: None,
            upstream_ok: true,
        },
        Record::Ended,
        Record::Version(1),
    ]
}

fn read_all(bytes: &mut BytesMut) -> Result<Vec<Record>, RecordError> {
    let mut parameters = None;
    let mut records = Vec::new();
    while let Some(record) = read(bytes, &mut parameters)? {
        records.push(record);
    }
    Ok(records)
}

#[test]
fn every_record_is_read_back_however_it_arrives_in_pieces() {
    let wire: Vec<u8> = records()
        .iter()
        .flat_map(|record| encode(record).to_vec())
        .collect();
    for step in [1, 3, 7, wire.len()] {
        let mut buffer = BytesMut::new();
        let mut memory = None;
        let mut got = Vec::new();
        for piece in wire.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(record) = read(&mut buffer, &mut memory).unwrap() {
                got.push(record);
            }
        }
        assert_eq!(got, records());
        assert!(buffer.is_empty());
    }
}

/// One example of each record of version 1, in hexadecimal, in the order of [`records`]. It never
/// changes.
const GOLDEN: &str = include_str!("../../golden/link-1.txt");

fn golden() -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let records = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    records
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

#[test]
fn records_of_version_1_are_read_and_written_as_ever() {
    let golden = golden();
    assert_eq!(
        read_all(&mut BytesMut::from(&golden.concat()[..])),
        Ok(records())
    );
    for (record, golden) in records().iter().zip(golden) {
        // The length may grow: fields may be added at the end.
        assert!(encode(record)[4..].starts_with(&golden[4..]), "{record:?}");
    }
}

#[test]
fn the_start_of_an_older_relay_gets_its_fragment_number_from_its_gop() {
    let [parameters, start] = [1, 2].map(|at| encode(&records()[at]));
    let mut wire = BytesMut::from(&parameters[..]);
    let length = start.len() - 4;
    wire.put_u32(length as u32 - 4);
    wire.extend_from_slice(&start[4..length]);
    let read = read_all(&mut wire).unwrap();
    let first = read.iter().find_map(|record| {
        if let Record::Start(start) = record {
            Some(start.first_fragment)
        } else {
            None
        }
    });
    assert_eq!(first, Some(crate::frame::first_fragment_of(17)));
}

#[test]
fn a_record_that_no_relay_sends_is_refused_with_the_reason() {
    let refused = |bytes: &[u8]| read_all(&mut BytesMut::from(bytes)).unwrap_err();
    assert_eq!(refused(&[0xFF; 8]), RecordError::TooLong(u32::MAX as usize));
    assert_eq!(refused(&[0, 0, 0, 0]), RecordError::Short(0));
    assert_eq!(
        refused(&[0, 0, 0, 2, kind::PATH, 3]),
        RecordError::Short(kind::PATH)
    );
    assert_eq!(
        refused(&[0, 0, 0, 2, kind::PATH, 99]),
        RecordError::Field("path length", 99)
    );
    let start = records().swap_remove(2);
    assert_eq!(refused(&encode(&start)), RecordError::NoParameters);
}

#[test]
fn additions_of_later_versions_are_skipped() {
    let mut wire = BytesMut::new();
    for record in records() {
        wire.extend_from_slice(&framed(99, |out| out.put_u64(7)));
        let is_frame = matches!(record, Record::Frame(_));
        let known = encode(&record);
        wire.put_u32(known.len() as u32 - 4 + if is_frame { 0 } else { 3 });
        wire.extend_from_slice(&known[4..]);
        wire.extend_from_slice(if is_frame { b"" } else { b"new" });
    }
    assert_eq!(read_all(&mut wire), Ok(records()));
    assert!(wire.is_empty());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..10) {
        let mut framed = BytesMut::new();
        framed.put_u32(bytes.len() as u32 + 1);
        framed.put_u8(kind);
        framed.extend_from_slice(&bytes);
        let _ = read_all(&mut framed);
        let _ = read_all(&mut BytesMut::from(&bytes[..]));
    }
}
