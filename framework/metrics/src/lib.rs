//! Metric families, handles, collectors and their text expositions.
