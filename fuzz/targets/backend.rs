//! A message from a server, its tag in front.

#![no_main]
#![expect(dead_code, reason = "each target uses one function of the walk")]

#[path = "../../crates/wire/tests/walk/mod.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| walk::backend(data));
