//! Problems: what is wrong, where, and what would have been right. Their text is API for operators.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Where a key or a value stands: file, and line and column counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// How many characters it takes on that line; at least 1, also for what spans lines.
    pub(crate) width: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing wrong with a configuration.
///
/// Shown as `configs/orders.yaml:31:23: kafka-consumer.max_batch_size: expected an integer from 1 to 1000000, found
/// ‘0’` (the value in backticks); place and path are left out where there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    // The order of the fields is the order of a report: by place, then by path.
    place: Option<Place>,
    path: String,
    message: String,
    origin: Option<Box<ValueOrigin>>,
}

/// Where a substituted value came from. Shown as “value of” a `$variable`, an environment variable or a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueOrigin {
    pub(crate) variable: Option<String>,
    pub(crate) environment_variable: Option<String>,
    pub(crate) place: Option<Place>,
    pub(crate) is_secret: bool,
}

impl ValueOrigin {
    /// The `$variable` that stands in the main file, without the `$`.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// The environment variable that holds the value.
    #[must_use]
    pub fn environment_variable(&self) -> Option<&str> {
        self.environment_variable.as_deref()
    }

    /// File, line and column of the value, if a file holds it.
    #[must_use]
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        self.place.as_ref().map(|place| (&*place.file, place.line, place.column))
    }

    /// How many characters of its line the value takes; 0 if no file holds it.
    #[must_use]
    pub fn width(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.width)
    }

    /// Whether the value may be a secret: environment variables and files carry those, so nothing of them is shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.is_secret
    }
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value of ")?;
        if let Some(variable) = &self.variable {
            write!(f, "`${variable}` from ")?;
        }
        match (&self.environment_variable, &self.place) {
            (Some(name), _) => write!(f, "environment variable `{name}`"),
            (None, Some(place)) if self.is_secret => write!(f, "file {place}"),
            (None, Some(place)) => write!(f, "{place}"),
            (None, None) => f.write_str("a file"),
        }
    }
}

impl Problem {
    /// A problem that has no place in any text. Where there is one, use [`Section::problem`](crate::Section::problem).
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: None, path: path.into(), message: message.into(), origin: None }
    }

    pub(crate) fn at(place: Option<Place>, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place, path: path.into(), message: message.into(), origin: None }
    }

    pub(crate) fn with_origin(self, origin: ValueOrigin) -> Self {
        Self { origin: Some(Box::new(origin)), ..self }
    }

    /// Name of the [`Source`](crate::Source), if the problem has a place.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|place| &*place.file)
    }

    /// Line, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// Column in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// How many characters of its line the wrong key or value takes, at least 1; 0 if the problem has no place.
    #[must_use]
    pub fn width(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.width)
    }

    /// Where the wrong value came from, if it does not stand where the problem is.
    #[must_use]
    pub fn origin(&self) -> Option<&ValueOrigin> {
        self.origin.as_deref()
    }

    /// Dotted path of the value, such as `kafka-consumer.topics[0]`; empty for the whole document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong and what would have been right, in lower case and without a final period.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// All problems found, sorted by file and position, each once. May be empty; see [`Problems::into_result`].
///
/// Shown one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(BTreeSet<Problem>);

impl Problems {
    /// No problems.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem unless it is already there.
    pub fn push(&mut self, problem: Problem) {
        self.0.insert(problem);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many different problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The problems in the order in which they are shown.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// `Ok` if there are none, otherwise itself.
    ///
    /// # Errors
    /// `self`, unless it is empty.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(BTreeSet::from([problem]))
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::collections::btree_set::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::collections::btree_set::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, problem) in self.0.iter().enumerate() {
            if idx > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What a typed configuration finds wrong with itself, such as two keys that contradict each other.
///
/// It knows only its own keys; [`Section::violation`](crate::Section::violation) turns it into a located [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path below the section, such as `max_batch_size` or `topics[0]`; empty for the section as a whole.
    pub path: String,
    /// What is wrong and what would have been right, in lower case and without a final period.
    pub message: String,
}

impl Violation {
    /// A violation at a path below the section.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}
