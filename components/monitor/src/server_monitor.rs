//! `handler-server-monitor`: userver's view of the metrics, in userver's formats.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use mainspring_core::{ComponentContext, Dependencies, LoadError, ServiceOutline};
use mainspring_logging::Level;
use mainspring_metrics::Registry;
use mainspring_metrics::userver::{Filter, Format, UnknownFormat};
use mainspring_server::{HandlerDefaults, HandlerError, HttpHandler, Request, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::query::{Query, text_response};

/// Own keys of `handler-server-monitor`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerMonitorConfig {
    /// Format of the answer when the query names none; without it such a query is refused.
    pub format: Option<FormatName>,
    /// Labels added to every metric that has none of that name, such as `{dc: east}`; default none.
    #[serde(default, rename = "common-labels")]
    pub common_labels: BTreeMap<String, String>,
}

/// The name of one of userver's formats: `json`, `pretty`, `prometheus`, `prometheus-untyped`, `graphite` or
/// `solomon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FormatName(Format);

impl TryFrom<String> for FormatName {
    type Error = UnknownFormat;

    fn try_from(text: String) -> Result<Self, UnknownFormat> {
        text.parse().map(Self)
    }
}

impl JsonSchema for FormatName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FormatName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = ["json", "pretty", "prometheus", "prometheus-untyped", "graphite", "solomon"];
        json_schema!({"type": "string", "enum": names})
    }
}

/// Answers with the metrics under userver's names. Query: `format`, `path` or `prefix`, `labels`.
#[derive(Debug)]
pub struct ServerMonitorHandler {
    metrics: Registry,
    format: Option<Format>,
    common_labels: BTreeMap<String, String>,
}

impl HttpHandler for ServerMonitorHandler {
    const DEFAULT_NAME: &'static str = "handler-server-monitor";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new()
        .with_path("/service/monitor")
        .with_method("GET")
        .with_line_level(Level::Debug)
        .on_monitor();
    type Config = ServerMonitorConfig;

    fn dependencies(_: &ServerMonitorConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: ServerMonitorConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let ServerMonitorConfig { format, common_labels } = config;
        let format = format.map(|FormatName(format)| format);
        Ok(Self { metrics: cx.metrics().clone(), format, common_labels })
    }

    async fn handle(&self, request: Request) -> Result<Response, HandlerError> {
        let query = Query::of(&request, &["format", "path", "prefix", "labels"])?;
        let Some(format) = query.parse::<Format>("format")?.or(self.format) else {
            return Err(HandlerError::bad_request(
                "query parameter `format` is missing, such as `format=json`",
            ));
        };
        let (path, prefix) = match (query.get("path"), query.get("prefix")) {
            // userver lets the two agree.
            (Some(path), Some(prefix)) if path == prefix => (Some(path), None),
            both => both,
        };
        let filter = Filter::parse(path, prefix, query.get("labels"))
            .map_err(|error| HandlerError::bad_request(error.to_string()))?;
        let view = self.metrics.userver().with_labels(&self.common_labels).filtered(&filter);
        Ok(text_response(format.content_type(), format.encode(&view, SystemTime::now())))
    }
}
