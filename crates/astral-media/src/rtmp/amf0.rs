//! AMF0, the encoding of RTMP commands and FLV metadata. Depth, count and length are limited.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

/// Deepest nesting of objects and arrays.
pub const DEPTH_MAX: usize = 16;
/// Most values in one message, including nested ones.
pub const VALUES_MAX: usize = 4096;
/// Longest string, in bytes.
pub const STRING_BYTES_MAX: usize = u16::MAX as usize;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;

/// The properties of an object in order.
pub type Properties = Vec<(String, Value)>;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// Text. Long strings and XML documents are read as text, too.
    String(String),
    /// An object. Typed objects are read as anonymous ones.
    Object(Properties),
    /// An ECMA array: an array with names instead of indices.
    EcmaArray(Properties),
    /// A strict array.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970, UTC.
    Date(f64),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
}

impl Value {
    /// Returns the number; `None` if the value is not a number.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// Returns the text; `None` if the value is not text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// Returns the property with this name; `None` if the value is not an object or ECMA array, or
    /// has no such property.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (Self::Object(properties) | Self::EcmaArray(properties)) = self else {
            return None;
        };
        properties
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Why bytes are not valid AMF0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Amf0Error {
    /// The bytes end within a value.
    #[error("amf0 value is cut short")]
    Truncated,
    /// The marker is not in AMF0, or is a reference or AMF3, which are not supported.
    #[error("amf0 marker {0:#04x} is not supported")]
    Marker(u8),
    /// Values are nested too deeply.
    #[error("amf0 values nest deeper than {DEPTH_MAX}")]
    Depth,
    /// There are too many values.
    #[error("amf0 message has more than {VALUES_MAX} values")]
    Count,
    /// A string is too long.
    #[error("amf0 string of {0} bytes is over the limit of {STRING_BYTES_MAX}")]
    StringLength(usize),
}

/// Reads all values in `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut decoder = Decoder {
        rest: bytes,
        values_left: VALUES_MAX,
    };
    let mut values = Vec::new();
    while !decoder.rest.is_empty() {
        values.push(decoder.value(DEPTH_MAX)?);
    }
    Ok(values)
}

struct Decoder<'a> {
    rest: &'a [u8],
    values_left: usize,
}

impl Decoder<'_> {
    fn value(&mut self, depth_left: usize) -> Result<Value, Amf0Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Amf0Error::Count)?;
        let marker = self.u8()?;
        match marker {
            NUMBER => Ok(Value::Number(self.f64()?)),
            BOOLEAN => Ok(Value::Boolean(self.u8()? != 0)),
            STRING => Ok(Value::String(self.short_string()?)),
            NULL => Ok(Value::Null),
            UNDEFINED | UNSUPPORTED => Ok(Value::Undefined),
            DATE => self.date(),
            LONG_STRING | XML => Ok(Value::String(self.long_string()?)),
            OBJECT | ECMA_ARRAY | STRICT_ARRAY | TYPED_OBJECT => {
                self.container(marker, depth_left.checked_sub(1).ok_or(Amf0Error::Depth)?)
            }
            other => Err(Amf0Error::Marker(other)),
        }
    }

    fn container(&mut self, marker: u8, depth_left: usize) -> Result<Value, Amf0Error> {
        match marker {
            STRICT_ARRAY => self.strict_array(depth_left),
            ECMA_ARRAY => {
                // Encoders get this count wrong. The end marker decides.
                self.u32()?;
                Ok(Value::EcmaArray(self.properties(depth_left)?))
            }
            TYPED_OBJECT => {
                self.short_string()?;
                Ok(Value::Object(self.properties(depth_left)?))
            }
            _ => Ok(Value::Object(self.properties(depth_left)?)),
        }
    }

    fn properties(&mut self, depth_left: usize) -> Result<Properties, Amf0Error> {
        let mut properties = Vec::new();
        loop {
            let name = self.short_string()?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                self.u8()?;
                return Ok(properties);
            }
            properties.push((name, self.value(depth_left)?));
        }
    }

    fn strict_array(&mut self, depth_left: usize) -> Result<Value, Amf0Error> {
        let count = self.u32()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth_left)?);
        }
        Ok(Value::StrictArray(values))
    }

    fn date(&mut self) -> Result<Value, Amf0Error> {
        let milliseconds = self.f64()?;
        // The time zone is reserved. It is always 0.
        self.take(2)?;
        Ok(Value::Date(milliseconds))
    }

    fn short_string(&mut self) -> Result<String, Amf0Error> {
        let length = usize::from(self.u8()?) << 8 | usize::from(self.u8()?);
        self.text(length)
    }

    fn long_string(&mut self) -> Result<String, Amf0Error> {
        let length = self.u32()? as usize;
        if length > STRING_BYTES_MAX {
            return Err(Amf0Error::StringLength(length));
        }
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<String, Amf0Error> {
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn f64(&mut self) -> Result<f64, Amf0Error> {
        let bytes = self.take(8)?.try_into().map_err(|_| Amf0Error::Truncated)?;
        Ok(f64::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32, Amf0Error> {
        let bytes = self.take(4)?.try_into().map_err(|_| Amf0Error::Truncated)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn u8(&mut self) -> Result<u8, Amf0Error> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Amf0Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Writes `values` one after the other.
pub fn encode(values: &[Value], output: &mut BytesMut) {
    for value in values {
        put_value(value, output);
    }
}

fn put_value(value: &Value, output: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            output.put_u8(NUMBER);
            output.put_f64(*number);
        }
        Value::Boolean(boolean) => output.put_slice(&[BOOLEAN, u8::from(*boolean)]),
        Value::String(text) => put_string(text, output),
        Value::Object(properties) => {
            output.put_u8(OBJECT);
            put_properties(properties, output);
        }
        Value::EcmaArray(properties) => {
            output.put_u8(ECMA_ARRAY);
            output.put_u32(properties.len() as u32);
            put_properties(properties, output);
        }
        Value::StrictArray(values) => {
            output.put_u8(STRICT_ARRAY);
            output.put_u32(values.len() as u32);
            encode(values, output);
        }
        Value::Date(milliseconds) => {
            output.put_u8(DATE);
            output.put_f64(*milliseconds);
            output.put_u16(0);
        }
        Value::Null => output.put_u8(NULL),
        Value::Undefined => output.put_u8(UNDEFINED),
    }
}

fn put_string(text: &str, output: &mut BytesMut) {
    if text.len() > STRING_BYTES_MAX {
        output.put_u8(LONG_STRING);
        output.put_u32(text.len() as u32);
        output.put_slice(text.as_bytes());
    } else {
        output.put_u8(STRING);
        put_short_string(text, output);
    }
}

fn put_properties(properties: &[(String, Value)], output: &mut BytesMut) {
    for (name, value) in properties {
        put_short_string(name, output);
        put_value(value, output);
    }
    output.put_slice(&[0, 0, OBJECT_END]);
}

/// Writes `text`, cut to what a length of two bytes allows.
fn put_short_string(text: &str, output: &mut BytesMut) {
    let length = text.floor_char_boundary(STRING_BYTES_MAX);
    output.put_u16(length as u16);
    output.put_slice(&text.as_bytes()[..length]);
}

#[cfg(test)]
mod tests;
