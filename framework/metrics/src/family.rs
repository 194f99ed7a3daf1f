//! What a metric is called, what it counts and how it is described: fixed at compile time.
//!
//! Constructors are `const` and refuse a bad name, an empty help text or unsorted bounds, so for a `static`
//! family the compiler reports them. The unit is read off the name, which must end in it anyway.

/// Bucket bounds, in seconds, of every OpenTelemetry duration histogram.
pub const DURATION_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A metric family. Declare it as a `static`: handles and snapshots refer to it.
///
/// # Examples
///
/// ```
/// use mainspring_metrics::{DURATION_BOUNDS, Family, Unit};
///
/// static WAIT: Family = Family::histogram("queue_wait_seconds", DURATION_BOUNDS, "Time spent in the queue.");
/// assert_eq!(WAIT.unit(), Unit::Seconds);
/// ```
///
/// A name that carries a suffix the exposition adds itself does not compile:
///
/// ```compile_fail
/// static ORDERS: mainspring_metrics::Family = mainspring_metrics::Family::counter("orders_total", "Orders.");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    help: &'static str,
    bounds: &'static [f64],
}

/// What the samples of a family mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Only grows; starts again at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations under fixed bounds, and their sum.
    Histogram,
    /// Quantiles computed elsewhere, with their count and sum.
    Summary,
    /// Facts told through labels; the value is always 1.
    Info,
    /// One of a closed set of states, each exposed as 0 or 1.
    StateSet,
}

/// The base unit a family is measured in, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things are counted, or the unit is not one of the others.
    None,
    /// The name ends in `_seconds`.
    Seconds,
    /// The name ends in `_bytes`.
    Bytes,
    /// The name ends in `_ratio`; values are from 0 to 1.
    Ratio,
}

impl Family {
    /// A counter. `name` without `_total`.
    ///
    /// # Panics
    ///
    /// When the name or the help text is not valid: at compile time for a `static`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Family {
        Family::new(name, Kind::Counter, &[], help)
    }

    /// A gauge.
    ///
    /// # Panics
    ///
    /// As [`Family::counter`].
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family::new(name, Kind::Gauge, &[], help)
    }

    /// A histogram with these upper bounds, which must be finite and rising. `+Inf` is implied.
    ///
    /// # Panics
    ///
    /// As [`Family::counter`], and when the bounds are empty, not finite or not rising.
    #[must_use]
    pub const fn histogram(name: &'static str, bounds: &'static [f64], help: &'static str) -> Family {
        assert!(!bounds.is_empty(), "a histogram needs bounds");
        let mut idx = 0;
        while idx < bounds.len() {
            assert!(bounds[idx].is_finite(), "histogram bounds are finite: `+Inf` is implied");
            assert!(idx == 0 || bounds[idx - 1] < bounds[idx], "histogram bounds rise");
            idx += 1;
        }
        Family::new(name, Kind::Histogram, bounds, help)
    }

    /// A summary.
    ///
    /// # Panics
    ///
    /// As [`Family::counter`].
    #[must_use]
    pub const fn summary(name: &'static str, help: &'static str) -> Family {
        Family::new(name, Kind::Summary, &[], help)
    }

    /// An info. `name` without `_info`.
    ///
    /// # Panics
    ///
    /// As [`Family::counter`], and when the name ends in a unit.
    #[must_use]
    pub const fn info(name: &'static str, help: &'static str) -> Family {
        Family::new(name, Kind::Info, &[], help)
    }

    /// A state set. Its samples carry a label named like the family.
    ///
    /// # Panics
    ///
    /// As [`Family::info`].
    #[must_use]
    pub const fn state_set(name: &'static str, help: &'static str) -> Family {
        Family::new(name, Kind::StateSet, &[], help)
    }

    const fn new(name: &'static str, kind: Kind, bounds: &'static [f64], help: &'static str) -> Family {
        assert!(is_valid_name(name), "a family name is lower case words joined by `_`");
        assert!(!help.is_empty(), "a family has a help text");
        let mut idx = 0;
        while idx < RESERVED_SUFFIXES.len() {
            assert!(!ends_with(name, RESERVED_SUFFIXES[idx]), "the exposition adds this suffix itself");
            idx += 1;
        }
        let unit = Unit::of(name);
        assert!(
            matches!(unit, Unit::None) || !matches!(kind, Kind::Info | Kind::StateSet),
            "infos and state sets have no unit"
        );
        Family { name, kind, unit, help, bounds }
    }

    /// The name, without the suffixes that expositions add.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What its samples mean.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The unit its name ends in.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// One sentence for whoever reads the exposition.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// Upper bounds of a histogram's buckets without `+Inf`; empty for other kinds.
    #[must_use]
    pub const fn bounds(&self) -> &'static [f64] {
        self.bounds
    }
}

impl Unit {
    /// The unit as names and `# UNIT` lines spell it; `None` for things that are counted.
    #[must_use]
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Unit::None => None,
            Unit::Seconds => Some("seconds"),
            Unit::Bytes => Some("bytes"),
            Unit::Ratio => Some("ratio"),
        }
    }

    const fn of(name: &str) -> Unit {
        if ends_with(name, "_seconds") {
            Unit::Seconds
        } else if ends_with(name, "_bytes") {
            Unit::Bytes
        } else if ends_with(name, "_ratio") {
            Unit::Ratio
        } else {
            Unit::None
        }
    }
}

const RESERVED_SUFFIXES: &[&str] = &["_total", "_info", "_bucket", "_count", "_sum", "_created"];

/// Narrower than the formats allow: no upper case, and no `:`, which belongs to recording rules.
const fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || !bytes[0].is_ascii_lowercase() || bytes[bytes.len() - 1] == b'_' {
        return false;
    }
    let mut idx = 1;
    while idx < bytes.len() {
        let byte = bytes[idx];
        if !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return false;
        }
        if byte == b'_' && bytes[idx - 1] == b'_' {
            return false;
        }
        idx += 1;
    }
    true
}

/// `str::ends_with` is not `const`.
const fn ends_with(text: &str, suffix: &str) -> bool {
    let (text, suffix) = (text.as_bytes(), suffix.as_bytes());
    if text.len() < suffix.len() {
        return false;
    }
    let start = text.len() - suffix.len();
    let mut idx = 0;
    while idx < suffix.len() {
        if text[start + idx] != suffix[idx] {
            return false;
        }
        idx += 1;
    }
    true
}
