use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn encoded(values: &[Value]) -> BytesMut {
    let mut output = BytesMut::new();
    encode(values, &mut output);
    output
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| Value::Number(f64::from(number))),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        any::<i32>().prop_map(|number| Value::Date(f64::from(number))),
        Just(Value::Null),
        Just(Value::Undefined),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let properties = vec(("[a-z]{1,8}", inner.clone()), 0..4);
        prop_oneof![
            properties.clone().prop_map(Value::Object),
            properties.prop_map(Value::EcmaArray),
            vec(inner, 0..4).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(values in vec(value(), 0..5)) {
        prop_assert_eq!(decode(&encoded(&values)), Ok(values));
    }

    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }
}

#[test]
fn a_connect_as_ffmpeg_sends_it_decodes() {
    let bytes =
        b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0\x03\x00\x03app\x02\x00\x04live\x00\x00\x09";
    let app = Value::Object(vec![("app".to_owned(), "live".into())]);
    assert_eq!(decode(bytes), Ok(vec!["connect".into(), 1.0.into(), app]));
}

#[test]
fn deep_nesting_is_refused() {
    let nest = |depth: usize| {
        b"\x0a\0\0\0\x01"
            .repeat(depth)
            .into_iter()
            .chain([NULL])
            .collect::<Vec<_>>()
    };
    assert!(decode(&nest(DEPTH_MAX)).is_ok());
    assert_eq!(decode(&nest(DEPTH_MAX + 1)), Err(Amf0Error::Depth));
    assert_eq!(decode(&nest(100_000)), Err(Amf0Error::Depth));
}

#[test]
fn too_many_values_are_refused() {
    assert!(decode(&[NULL; VALUES_MAX]).is_ok());
    assert_eq!(decode(&[NULL; VALUES_MAX + 1]), Err(Amf0Error::Count));
}

#[test]
fn array_that_claims_four_billion_values_costs_nothing() {
    assert_eq!(decode(b"\x0a\xff\xff\xff\xff"), Err(Amf0Error::Truncated));
}

#[test]
fn long_string_over_the_limit_is_refused() {
    assert_eq!(
        decode(b"\x0c\x00\x01\x00\x00"),
        Err(Amf0Error::StringLength(65536))
    );
}

#[test]
fn references_and_amf3_are_refused() {
    assert_eq!(decode(b"\x07\x00\x01"), Err(Amf0Error::Marker(0x07)));
    assert_eq!(decode(b"\x11\x01"), Err(Amf0Error::Marker(0x11)));
}

#[test]
fn name_too_long_for_its_length_field_is_cut_at_a_character() {
    let name = "é".repeat(STRING_BYTES_MAX);
    let values = decode(&encoded(&[Value::Object(vec![(name, Value::Null)])])).unwrap();
    let Value::Object(properties) = &values[0] else {
        panic!("an object")
    };
    assert_eq!(properties[0].0.len(), STRING_BYTES_MAX - 1);
}
