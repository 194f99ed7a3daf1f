//! Facts about the parts that need no service around them.
