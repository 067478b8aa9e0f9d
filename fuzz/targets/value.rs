//! A value shown as JSON: two bytes of type oid, then the value.

#![no_main]
#![expect(dead_code, reason = "each target uses one function of the walk")]

#[path = "../../crates/wire/tests/walk/mod.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| walk::value(data));
