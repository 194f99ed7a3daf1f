//! Query parameters of the handlers here: a closed set of names, each at most once.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query as AxumQuery;
use mainspring_server::{Body, HandlerError, Request, Response, header};

/// The decoded query of a request.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads the query; a name that is not `known` or comes twice is an error.
    pub(crate) fn of(request: &Request, known: &[&str]) -> Result<Self, HandlerError> {
        let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|error| HandlerError::bad_request(error.to_string()))?;
        let mut query = Self::default();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                let known = known.join(", ");
                return Err(HandlerError::bad_request(format!(
                    "unknown query parameter `{name}`; known: {known}"
                )));
            }
            if query.0.contains_key(&name) {
                return Err(HandlerError::bad_request(format!("query parameter `{name}` is given twice")));
            }
            query.0.insert(name, value);
        }
        Ok(query)
    }

    /// A parameter as text; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter as something else.
    pub(crate) fn parse<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, HandlerError> {
        let parsed = self.get(name).map(str::parse).transpose();
        parsed.map_err(|error| HandlerError::bad_request(format!("query parameter `{name}`: {error}")))
    }
}

/// A 200 with a body of this type.
pub(crate) fn text_response(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let content_type = mainspring_server::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
