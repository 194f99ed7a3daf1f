//! The server as its users and its operators meet it: real sockets, real services.

mod bounds;
mod configuration;
mod conformance;
mod failures;
mod handlers;
mod lifecycle;
mod limits;
mod observation;
mod requests;
mod support;
