//! How batches are compressed on their way to the broker, where they stay so.

use std::ops::RangeInclusive;

use mainspring_config::Violation;
use mainspring_kafka_ffi as ffi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The codec of a producer's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// Levels 0 to 9.
    Gzip,
    /// Has no levels.
    Snappy,
    /// Levels 0 to 12.
    Lz4,
    /// Levels 1 to 12. Needs the cargo feature `zstd`, which is on by default.
    Zstd,
}

impl Compression {
    pub(crate) const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The levels there are, from fast to small; librdkafka takes none past 12.
    fn levels(self) -> Option<RangeInclusive<u8>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(0..=9),
            Self::Lz4 => Some(0..=12),
            Self::Zstd => Some(1..=12),
        }
    }

    /// Complains of a codec that is not there, and of a level that the codec does not have.
    pub(super) fn check(self, level: Option<u8>) -> Vec<Violation> {
        let built_in = ffi::builtin_features();
        let is_built_in = self == Self::None || built_in.iter().any(|feature| feature == self.as_str());
        let missing = (!is_built_in).then(|| Violation::new("compression", self.not_built_in(&built_in)));
        let level = level.and_then(|level| self.check_level(level));
        missing.into_iter().chain(level).collect()
    }

    fn check_level(self, level: u8) -> Option<Violation> {
        let codec = self.as_str();
        let message = match self.levels() {
            None => format!("`compression: {codec}` has no levels, found `{level}`"),
            Some(levels) if !levels.contains(&level) => format!(
                "must be from `{}` to `{}` with `compression: {codec}`, found `{level}`",
                levels.start(),
                levels.end()
            ),
            Some(_) => return None,
        };
        Some(Violation::new("compression_level", message))
    }

    fn not_built_in(self, built_in: &[String]) -> String {
        let codec = self.as_str();
        let has = |codec: &Compression| built_in.iter().any(|feature| feature == codec.as_str());
        let others: Vec<_> = Self::ALL
            .iter()
            .filter(|codec| has(codec))
            .map(|codec| format!("`{}`", codec.as_str()))
            .collect();
        let others = others.join(", ");
        if self == Self::Zstd {
            return format!(
                "`zstd` needs a build with the feature `zstd` of `mainspring-kafka`; built in are {others}"
            );
        }
        format!("the librdkafka of this build has no `{codec}`; built in are {others}")
    }
}

#[cfg(test)]
mod tests;
