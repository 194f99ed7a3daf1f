//! Loggers over tracing-subscriber: formats, sinks, levels, reopening, recent records.
