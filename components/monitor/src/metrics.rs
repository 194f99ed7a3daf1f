//! `handler-metrics`: the facts of the service as scrapers read them.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceOutline};
use mainspring_logging::Level;
use mainspring_metrics::{Exposition, Registry, negotiate, openmetrics, prometheus_text};
use mainspring_server::{
    HandlerDefaults, HandlerError, HeaderMap, HeaderName, HeaderValue, HttpHandler, Request, Response, header,
};

use crate::query::text_response;

/// Answers with `OpenMetrics` or Prometheus text as `Accept` says, compressed where the scraper takes it.
#[derive(Debug)]
pub struct MetricsHandler {
    metrics: Registry,
}

impl HttpHandler for MetricsHandler {
    const DEFAULT_NAME: &'static str = "handler-metrics";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new()
        .with_path("/metrics")
        .with_method("GET")
        .with_line_level(Level::Debug)
        .on_monitor();
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { metrics: cx.metrics().clone() })
    }

    async fn handle(&self, request: Request) -> Result<Response, HandlerError> {
        let accept = words(request.headers(), &header::ACCEPT);
        let exposition = negotiate(accept.as_deref());
        let snapshot = self.metrics.snapshot();
        let text = match exposition {
            Exposition::OpenMetrics => openmetrics(&snapshot),
            Exposition::Text => prometheus_text(&snapshot),
        };
        let accept_encoding = words(request.headers(), &header::ACCEPT_ENCODING);
        let mut response = if accepts_gzip(accept_encoding.as_deref().unwrap_or_default()) {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes())?;
            let mut response = text_response(exposition.content_type(), encoder.finish()?);
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        } else {
            text_response(exposition.content_type(), text)
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        Ok(response)
    }
}

/// All values of a header as one list.
fn words(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Whether `gzip`, or failing that anything, is accepted with a quality above 0 and not below what is asked of a
/// text as it is.
pub(crate) fn accepts_gzip(accept_encoding: &str) -> bool {
    let quality = |wanted: &str| {
        accept_encoding.split(',').find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            if !parts.next()?.eq_ignore_ascii_case(wanted) {
                return None;
            }
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some(quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0)))
        })
    };
    let gzip = quality("gzip").or_else(|| quality("*")).unwrap_or(0.0);
    0.0 < gzip && quality("identity").unwrap_or(0.0) <= gzip
}
