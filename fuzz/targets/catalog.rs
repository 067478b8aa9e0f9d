//! A catalog kept on disk, read back: never a panic, and what is read is written as the same again.

#![no_main]

use firsthand_sql::catalog::Builder;

/// What every kept catalog begins with: its format, and the questions that it answers.
const PREFIX_BYTES: usize = 16;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = Builder::new("").write();
    bytes.truncate(PREFIX_BYTES);
    bytes.extend_from_slice(data);
    let Some(builder) = Builder::read(&bytes) else { return };
    let written = builder.write();
    let again = Builder::read(&written).expect("what was written can be read");
    assert_eq!(again.write(), written);
    let _ = builder.finish();
});
