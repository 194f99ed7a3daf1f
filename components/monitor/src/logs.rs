//! `handler-logs`: the records that the service keeps in memory, for whoever cannot reach its log files.

use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceOutline};
use mainspring_logging::{Level, Logging, RecentFilter};
use mainspring_server::{HandlerDefaults, HandlerError, HttpHandler, Request, Response};

use crate::query::{Query, text_response};

/// The last records, oldest first. Query: `level` and above, `component`, `text` within the message, `limit`,
/// and `format`: `jsonl`, which is one object per line and the default, or `json`, which is an array.
#[derive(Debug)]
pub struct LogsHandler {
    logging: Logging,
}

impl HttpHandler for LogsHandler {
    const DEFAULT_NAME: &'static str = "handler-logs";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new()
        .with_path("/service/logs")
        .with_method("GET")
        .with_line_level(Level::Debug)
        .on_monitor();
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { logging: cx.logging().clone() })
    }

    async fn handle(&self, request: Request) -> Result<Response, HandlerError> {
        let query = Query::of(&request, &["format", "level", "component", "text", "limit"])?;
        let filter = RecentFilter {
            min_level: query.parse("level")?,
            component: query.get("component").map(str::to_owned),
            text: query.get("text").map(str::to_owned),
            limit: query.parse("limit")?,
        };
        let records = self.logging.recent(&filter);
        match query.get("format").unwrap_or("jsonl") {
            "json" => Ok(text_response("application/json", serde_json::to_vec(&records)?)),
            "jsonl" => {
                let mut lines = Vec::new();
                for record in &records {
                    serde_json::to_writer(&mut lines, record)?;
                    lines.push(b'\n');
                }
                Ok(text_response("application/jsonl", lines))
            }
            format => {
                let message =
                    format!("query parameter `format`: expected `json` or `jsonl`, found `{format}`");
                Err(HandlerError::bad_request(message))
            }
        }
    }
}
