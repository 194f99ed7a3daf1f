//! Durations as operators write them: `250ms`, `10s`, `5m`.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::problem::Violation;
use crate::units::{self, UnitError};

/// The schema format that marks a duration; see [`crate::expected`].
pub(crate) const FORMAT: &str = "human-duration";
pub(crate) const EXPECTED: &str = "a duration such as `250ms`";

/// Suffixes and their milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration of whole milliseconds, written as an integer with `ms`, `s`, `m`, `h` or `d`; a bare integer is seconds.
///
/// ```
/// use mainspring_config::HumanDuration;
///
/// let wait: HumanDuration = "1500ms".parse()?;
/// assert_eq!(wait.as_millis(), 1500); // it is a `Duration`
/// assert_eq!("90".parse::<HumanDuration>()?.to_string(), "90s");
/// assert!("1.5s".parse::<HumanDuration>().is_err());
/// # Ok::<(), mainspring_config::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// A duration of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A duration of seconds.
    ///
    /// # Panics
    /// If it does not fit into 64 bits of milliseconds: half a billion years.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.checked_mul(1_000).expect("seconds fit into 64 bits of milliseconds"))
    }

    /// The standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// A violation at `path` if the duration is outside of `range`.
    #[must_use]
    pub fn check_range(self, path: &str, range: RangeInclusive<Self>) -> Option<Violation> {
        let (low, high) = (range.start(), range.end());
        let message = || format!("expected a duration from `{low}` to `{high}`, found `{self}`");
        (!range.contains(&self)).then(|| Violation::new(path, message()))
    }

    /// Whole milliseconds; the constructors see to it that they fit.
    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Rounds up to whole milliseconds, so that a positive duration stays positive.
impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl Deref for HumanDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        units::parse(text, &UNITS, 1_000)
            .map(Self::from_millis)
            .ok_or_else(|| UnitError { expected: EXPECTED, found: text.to_owned() })
    }
}

/// The largest unit that needs no fraction.
impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.millis(), UNITS.iter().find(|(_, unit)| self.millis().is_multiple_of(*unit))) {
            (millis, Some((name, unit))) if 0 < millis => write!(f, "{}{name}", millis / unit),
            _ => f.write_str("0s"),
        }
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, secs: u64) -> Result<HumanDuration, E> {
        self.visit_str(&secs.to_string())
    }

    fn visit_i64<E: Error>(self, secs: i64) -> Result<HumanDuration, E> {
        self.visit_str(&secs.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "HumanDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration such as `250ms`, `10s`, `5m`, `2h` or `1d`; a bare integer is seconds.",
            "type": ["string", "integer"],
            "format": FORMAT,
            "pattern": "^[0-9]+(ms|s|m|h|d)?$",
            "minimum": 0,
            "examples": ["250ms", "10s", "5m"]
        })
    }
}
