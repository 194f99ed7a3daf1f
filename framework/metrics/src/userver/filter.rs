//! Which metrics a caller of `/service/monitor` wants, from the words of its query.

use std::collections::BTreeMap;

use super::Metric;

/// Lets a metric through when its path and its labels fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    path: PathFilter,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum PathFilter {
    #[default]
    Any,
    Exact(String),
    /// Textual, as in userver: `http.handler.to` finds `http.handler.total`.
    Prefix(String),
}

/// Why a query cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// Both were given.
    #[error("`path` and `prefix` exclude each other; give one of them")]
    PathAndPrefix,
    /// The labels do not parse.
    #[error(
        "`labels` must be a JSON object with text values such as `{{\"topic\":\"orders\"}}`, found `{found}`"
    )]
    Labels {
        /// What was given.
        found: String,
    },
}

impl Filter {
    /// A filter from the query parameters `path`, `prefix` and `labels`; empty ones count as absent.
    ///
    /// # Errors
    ///
    /// When `path` and `prefix` are both given, or when `labels` is not a JSON object of strings.
    pub fn parse(
        path: Option<&str>,
        prefix: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Filter, FilterError> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let path = match (given(path), given(prefix)) {
            (None, None) => PathFilter::Any,
            (Some(path), None) => PathFilter::Exact(path),
            (None, Some(prefix)) => PathFilter::Prefix(prefix),
            (Some(_), Some(_)) => return Err(FilterError::PathAndPrefix),
        };
        let labels = match given(labels) {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(&text).map_err(|_| FilterError::Labels { found: text })?,
        };
        Ok(Filter { path, labels })
    }

    /// Whether `metric` has the path, and all of the labels.
    #[must_use]
    pub fn matches(&self, metric: &Metric) -> bool {
        let path_fits = match &self.path {
            PathFilter::Any => true,
            PathFilter::Exact(path) => metric.path == *path,
            PathFilter::Prefix(prefix) => metric.path.starts_with(prefix),
        };
        let has = |name: &String, value: &String| metric.labels.iter().any(|(n, v)| n == name && v == value);
        path_fits && self.labels.iter().all(|(name, value)| has(name, value))
    }
}
