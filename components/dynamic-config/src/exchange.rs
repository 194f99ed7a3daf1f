//! One HTTP request over a connection of its own: rare, small, and without state between two of them.

use std::pin::pin;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::FetchError;

/// Largest answer that is read.
pub(crate) const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Sends a JSON body and gives back the body of the answer. Has no limit of time.
pub(crate) async fn post(url: &Uri, body: Bytes) -> Result<Bytes, FetchError> {
    let (host, port) = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(80));
    let address = format!("{host}:{port}");
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare_host, port)).await;
    let stream = stream.map_err(|source| FetchError::Connect { address: address.clone(), source })?;
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Exchange {
        address: address.clone(),
        source,
    };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, &address)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| broken(error.into()))?;
    let mut exchange = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status { address: address.clone(), status: status.as_u16() });
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::TooLarge { address: address.clone(), limit: BODY_BYTES_MAX }
            } else {
                broken(error)
            }
        })
    });
    // The connection does its part only while it is polled; when it ends first, the exchange knows what came of it.
    tokio::select! {
        done = &mut exchange => done,
        _ = connection => exchange.await,
    }
}
