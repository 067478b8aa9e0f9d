//! The frame scanner: any split of the bytes gives the same messages.

#![no_main]
#![expect(dead_code, reason = "each target uses one function of the walk")]

#[path = "../../crates/wire/tests/walk/mod.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| walk::frames(data));
