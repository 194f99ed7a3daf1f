//! Monitor handlers: metrics, health, log level, recent logs.
