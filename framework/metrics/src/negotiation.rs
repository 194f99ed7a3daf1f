//! Which text a scraper gets, from its `Accept` header.

/// A text format for scrapers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Text,
}

impl Exposition {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Chooses by the quality values of `accept`.
///
/// OpenMetrics is chosen when it is asked for by name, in the version we write or in any, and not ranked below
/// the text format, which a wildcard may rank too. Everything else, nonsense included, gets the text format that
/// every scraper reads: a scrape that fails over a header helps nobody.
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Exposition {
    let ranges: Vec<Range<'_>> = accept.unwrap_or_default().split(',').filter_map(Range::parse).collect();
    let quality = |media_type: &str, version: &str| {
        let named = ranges.iter().filter(|range| range.media_type.eq_ignore_ascii_case(media_type));
        let fitting = named.filter(|range| range.version.is_none_or(|wanted| wanted == version));
        fitting.map(|range| range.quality).reduce(f64::max)
    };
    // The more exact range counts, be its quality the lower one.
    let openmetrics = quality("application/openmetrics-text", "1.0.0").unwrap_or(0.0);
    let text = ["text/plain", "text/*", "*/*"].into_iter().find_map(|range| quality(range, "0.0.4"));
    if 0.0 < openmetrics && text.unwrap_or(0.0) <= openmetrics {
        Exposition::OpenMetrics
    } else {
        Exposition::Text
    }
}

/// One entry of an `Accept` header.
struct Range<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    quality: f64,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Range { media_type: parts.next()?, version: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("version") => range.version = Some(value),
                name if name.eq_ignore_ascii_case("q") => {
                    range.quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
                }
                _ => {}
            }
        }
        Some(range)
    }
}
