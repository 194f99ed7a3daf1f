//! Text to located values to typed configuration, with problems that explain themselves.
