//! A segment of the log: its header, then its frames one after the other. Positions, lengths and checksums are a stranger's.

#![no_main]

use firsthand_auditlog::frame::{self, Frames};
use firsthand_auditlog::segment::Header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(header) = Header::decode(data) {
        let again = Header::decode(&header.encode());
        assert_eq!(again.as_ref(), Ok(&header), "what was read is written the same");
        assert!(header.size() % 4096 == 0 && header.size() <= data.len());
    }
    let mut frames = Frames::new(data, 0, 0, 0);
    let (mut size, mut position) = (0, 0);
    for (at, found) in frames.by_ref() {
        assert_eq!((at, found.seq), (size, position), "frames follow each other");
        size += found.size;
        position += 1;
        assert!(size <= data.len());
    }
    assert_eq!((frames.offset(), frames.next_position()), (size, position));
    // The checksum is not in the way of the lengths: what only looks like a frame stays within its bytes.
    if let Ok(found) = frame::parse(data) {
        assert!(found.size <= data.len());
        assert_eq!(found.size, frame::size_of(found.leaf.len(), found.sealed.len()));
    }
    // And with the right checksum it is a frame like any other, unless it is too short: no leaf is shorter than `{}`.
    if data.len() < 4 {
        return;
    }
    let (leaf, sealed) = data.split_at(data.len() / 2);
    let mut written = Vec::new();
    let seed = frame::encode(&mut written, 7, 0, 3, leaf, sealed);
    let read = frame::decode(&written, 7, 3).map(|f| (f.leaf.to_vec(), f.sealed.to_vec(), f.crc));
    assert_eq!(read.ok(), Some((leaf.to_vec(), sealed.to_vec(), seed)));
});
