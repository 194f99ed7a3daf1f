//! Sizes as operators write them: `65536`, `64KiB`, `1MiB`.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::problem::Violation;
use crate::units::{self, UnitError};

/// The schema format that marks a size; see [`crate::expected`].
pub(crate) const FORMAT: &str = "byte-size";
pub(crate) const EXPECTED: &str = "a size such as `64KiB`";

/// Suffixes and their bytes; those that are written, largest first, before those that are only read.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];
const N_WRITTEN: usize = 3;

/// A number of bytes, written as a plain integer or as one with `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB` or `B`.
///
/// ```
/// use mainspring_config::ByteSize;
///
/// assert_eq!("64KiB".parse::<ByteSize>()?.as_u64(), 65_536);
/// assert_eq!(ByteSize::new(1 << 20).to_string(), "1MiB");
/// # Ok::<(), mainspring_config::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; on a 32-bit machine larger sizes become the largest length.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// A violation at `path` if the size is outside of `range`.
    #[must_use]
    pub fn check_range(self, path: &str, range: RangeInclusive<Self>) -> Option<Violation> {
        let (low, high) = (range.start(), range.end());
        let message = || format!("expected a size from `{low}` to `{high}`, found `{self}`");
        (!range.contains(&self)).then(|| Violation::new(path, message()))
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        units::parse(text, &UNITS, 1)
            .map(Self)
            .ok_or_else(|| UnitError { expected: EXPECTED, found: text.to_owned() })
    }
}

/// The largest binary unit that needs no fraction, or the plain number.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().take(N_WRITTEN).find(|(_, unit)| 0 < self.0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<ByteSize, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a plain integer, or one with `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.",
            "type": ["string", "integer"],
            "format": FORMAT,
            "pattern": "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)?$",
            "minimum": 0,
            "examples": ["64KiB", "1MiB", 65536]
        })
    }
}
