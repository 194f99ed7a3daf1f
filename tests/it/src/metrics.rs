//! The figures of a scrape.

/// The samples of an exposition in Prometheus' text format or in OpenMetrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    /// As written, with the braces.
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads an exposition; lines that are no samples are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }

    /// The sum of all samples of this name that have these labels; 0 when there is none, see [`Metrics::has`].
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample of this name with these labels.
    #[must_use]
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|(key, value)| sample.has(key, value))
        })
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.find('{').map_or((series, ""), |brace| series.split_at(brace));
        Some(Self { name: name.to_owned(), labels: labels.to_owned(), value: value.parse().ok()? })
    }

    fn has(&self, key: &str, value: &str) -> bool {
        ["{", ","].iter().any(|before| self.labels.contains(&format!("{before}{key}=\"{value}\"")))
    }
}
