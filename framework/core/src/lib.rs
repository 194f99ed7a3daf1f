//! Components, their registry and their life cycle.
