//! Unit tests of the cell: nothing here calls C.
