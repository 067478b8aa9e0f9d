//! SCRAM: the client's first message, a zero byte, its final message.

#![no_main]
#![expect(dead_code, reason = "each target uses one function of the walk")]

#[path = "../../crates/wire/tests/walk/mod.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| walk::scram(data));
