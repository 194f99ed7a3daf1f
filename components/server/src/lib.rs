//! HTTP listeners and handler components over axum.
