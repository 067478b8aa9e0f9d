//! Test doubles of the ports, for the tests of this crate and of the dialects.
