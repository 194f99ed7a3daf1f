//! Credentials from a file or an environment variable.
