//! Safe owned handles over librdkafka: the only crate with unsafe code.
