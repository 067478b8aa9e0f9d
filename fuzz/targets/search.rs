//! A search expression: read, written again, read again.

#![no_main]

use firsthand_auditlog::search::query::Query;

const NOW: u64 = 1_795_456_800_000_000;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(query) = Query::parse(text, NOW) {
        let written = query.to_string();
        match Query::parse(&written, NOW) {
            Ok(again) => assert_eq!(again.to_string(), written),
            Err(why) => panic!("{text:?} is written as {written:?}: {}", why.message),
        }
    }
});
