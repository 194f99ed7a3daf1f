//! A text that does not print and is gone when it is dropped.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// A secret text. `Debug` and `Display` show `*****`, its memory is overwritten when it is dropped, and
/// [`Secret::expose`] is the one way to the text.
///
/// It can be read from secdist and cannot be written anywhere, so no dump of a struct that holds one has it:
///
/// ```compile_fail
/// fn dump<T: serde::Serialize>(_: &T) {}
/// dump(&mainspring_secdist::Secret::new("hush"));
/// ```
///
/// What [`expose`](Secret::expose) gives may be copied, and copies are not followed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text. A `String` is taken over as it is, so that no copy of it is left behind.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Hand it to whoever needs it and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}
