//! What a JSON handler sees of a request besides its body.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

/// A request without its body.
#[derive(Debug)]
pub struct RequestContext {
    parts: Parts,
    path_params: Vec<(String, String)>,
}

impl RequestContext {
    pub(crate) async fn new(mut parts: Parts) -> Self {
        // Absent when the request did not come through the router, as in a test of a handler.
        let params = RawPathParams::from_request_parts(&mut parts, &()).await;
        let path_params = params
            .iter()
            .flat_map(|params| params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        Self { parts, path_params }
    }

    /// The method; that of a `HEAD` request to a `GET` handler is `HEAD`.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Path and query as the client sent them.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What stands in the path for `{name}`; for a trailing `/*` the name is `path`.
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<&str> {
        self.path_params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<String> {
        let Query(params) = Query::<Vec<(String, String)>>::try_from_uri(&self.parts.uri).ok()?;
        params.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}
