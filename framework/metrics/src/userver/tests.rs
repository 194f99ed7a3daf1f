//! Facts about userver's view.
