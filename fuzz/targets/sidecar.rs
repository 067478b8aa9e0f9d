//! The index beside a sealed segment. Its checksum is put right, so that what stands behind it is reached.

#![no_main]

use firsthand_auditlog::index::SegmentFacts;
use firsthand_auditlog::segment::SegmentName;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let name = SegmentName { epoch: 0, first: 0 };
    let _ = SegmentFacts::read(data, name, None);
    if let Some((magic, rest)) = data.split_at_checked(8)
        && let Some(body) = rest.get(4..)
    {
        let bytes = [magic, &crc32fast::hash(body).to_le_bytes(), body].concat();
        let _ = SegmentFacts::read(&bytes, name, None);
    }
});
