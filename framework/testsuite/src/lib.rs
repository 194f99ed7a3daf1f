//! Run a whole service inside a test.
