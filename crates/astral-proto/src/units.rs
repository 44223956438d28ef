//! Numbers that carry their unit in their type.
//!
//! In JSON each is the bare number, so a field may change between `u64` and one of these without a change of the
//! contract. Arithmetic saturates: a value that a stranger sends can neither wrap around nor panic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// Implements what all units have in common: conversions to and from the number, and how it is printed.
macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($number:ty), $suffix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name($number);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(<$number>::MAX);

            /// The value as a number of its unit.
            pub const fn get(self) -> $number {
                self.0
            }

            /// Whether the value is zero, which several fields of the contract use for "unknown".
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl From<$number> for $name {
            fn from(number: $number) -> Self {
                Self(number)
            }
        }

        impl From<$name> for $number {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!("{}", $suffix), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }
    };
}

unit! {
    /// A date: milliseconds since the Unix epoch.
    UnixMillis(u64), " ms"
}
unit! {
    /// A time on the timeline of a stream, or a length of it: microseconds.
    Micros(u64), " µs"
}
unit! {
    /// A bitrate or a capacity: kilobits per second.
    Kbps(u32), " kbit/s"
}

impl UnixMillis {
    /// The date `millis` milliseconds after the Unix epoch.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// The date `seconds` seconds after the Unix epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How far the two dates are apart, whichever comes first.
    pub const fn abs_diff(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }
}

impl Add<Duration> for UnixMillis {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(later)))
    }
}

impl Sub<Duration> for UnixMillis {
    type Output = Self;
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(earlier)))
    }
}

impl AddAssign<Duration> for UnixMillis {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

/// A date as whole seconds, for serde's `with`.
pub(crate) mod unix_seconds {
    use super::UnixMillis;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(date: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(date.as_secs())
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<UnixMillis, D::Error> {
        u64::deserialize(from).map(UnixMillis::from_secs)
    }
}

/// The milliseconds of `duration`, rounded down.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Micros {
    /// `micros` microseconds.
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds with their fraction, for playlists and logs.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The distance of the two, whichever is larger.
    pub const fn abs_diff(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0))
    }
}

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Micros> for Duration {
    fn from(micros: Micros) -> Self {
        Self::from_micros(micros.0)
    }
}

impl Kbps {
    /// `kbps` kilobits per second.
    pub const fn new(kbps: u32) -> Self {
        Self(kbps)
    }

    /// The bitrate of so many bytes in a time, rounded to the nearest; zero if no time has passed.
    pub fn of(bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        if seconds <= 0.0 {
            return Self::ZERO;
        }
        // A float that is too large for the integer becomes its largest value.
        Self((bytes as f64 * 8.0 / 1_000.0 / seconds).round() as u32)
    }

    /// Bytes per second.
    pub const fn bytes_per_second(self) -> u64 {
        self.0 as u64 * 125
    }

    /// A share of it, such as a quarter (`0.25`), rounded down.
    pub fn mul_f64(self, factor: f64) -> Self {
        Self((f64::from(self.0) * factor) as u32)
    }

    /// So many times as much.
    pub const fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

/// Implements sums and differences of a unit that measures an amount.
macro_rules! amount {
    ($name:ident) => {
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
                values.fold(Self::ZERO, Add::add)
            }
        }
    };
}

amount!(Micros);
amount!(Kbps);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_bare_numbers_in_json() {
        assert_eq!(serde_json::to_string(&UnixMillis::new(17)).unwrap(), "17");
        assert_eq!(
            serde_json::from_str::<Kbps>("4000").unwrap(),
            Kbps::new(4_000)
        );
        assert!(serde_json::from_str::<Micros>("-1").is_err());
    }

    #[test]
    fn arithmetic_stays_within_the_range_of_the_number() {
        let second = Duration::from_secs(1);
        assert_eq!(UnixMillis::ZERO - second, UnixMillis::ZERO);
        assert_eq!(UnixMillis::MAX + second, UnixMillis::MAX);
        assert_eq!(UnixMillis::ZERO + Duration::MAX, UnixMillis::MAX);
        assert_eq!(UnixMillis::new(5).since(UnixMillis::new(9)), Duration::ZERO);
        assert_eq!(Kbps::new(1) - Kbps::new(2), Kbps::ZERO);
        assert_eq!(Kbps::MAX + Kbps::new(1), Kbps::MAX);
        assert_eq!([Kbps::MAX, Kbps::MAX].into_iter().sum::<Kbps>(), Kbps::MAX);
        assert_eq!(Kbps::MAX.times(2), Kbps::MAX);
        assert_eq!(Micros::from_secs(u64::MAX), Micros::MAX);
        assert_eq!(Micros::from(Duration::MAX), Micros::MAX);
    }

    #[test]
    fn units_convert_to_durations_and_back() {
        let later = UnixMillis::from_secs(10) + Duration::from_millis(250);
        assert_eq!(later, UnixMillis::new(10_250));
        assert_eq!(later.as_secs(), 10);
        assert_eq!(
            later.since(UnixMillis::from_secs(10)),
            Duration::from_millis(250)
        );
        assert_eq!(
            Duration::from(Micros::from_millis(40)),
            Duration::from_millis(40)
        );
        assert_eq!(Micros::from(Duration::from_millis(40)).as_millis(), 40);
    }

    #[test]
    fn a_bitrate_is_bytes_over_time() {
        assert_eq!(Kbps::of(500_000, Duration::from_secs(1)), Kbps::new(4_000));
        assert_eq!(Kbps::new(4_000).bytes_per_second(), 500_000);
        assert_eq!(Kbps::of(1, Duration::ZERO), Kbps::ZERO);
        assert_eq!(Kbps::of(u64::MAX, Duration::from_nanos(1)), Kbps::MAX);
    }

    #[test]
    fn values_are_printed_with_their_unit() {
        assert_eq!(Kbps::new(4_000).to_string(), "4000 kbit/s");
        assert_eq!(format!("{:?}", Micros::new(40)), "40 µs");
    }
}
