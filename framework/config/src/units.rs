//! Integers with a unit behind them.

/// A text that is not an integer with one of the known units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    pub(crate) expected: &'static str,
    pub(crate) found: String,
}

impl std::fmt::Display for UnitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}, found `{}`", self.expected, self.found)
    }
}

impl std::error::Error for UnitError {}

/// `12ms` is 12 times what `units` say `ms` is; a bare integer has the unit `bare`. `None` for anything else, also for
/// signs, fractions and what does not fit.
pub(crate) fn parse(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits)? {
        "" => bare,
        suffix => units.iter().find(|(name, _)| *name == suffix)?.1,
    };
    // `u64::from_str` takes a plus sign, which nobody means here.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
