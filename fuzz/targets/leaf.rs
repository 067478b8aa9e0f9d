//! A leaf read back: by recovery, by readers, by searches.

#![no_main]

use firsthand_auditlog::codec::Codec;
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::open_set::Change;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let change = EventCodec::change_of(data);
    let Ok(fields) = Fields::read(data) else { return };
    let _ = (fields.micros(), fields.subject());
    if let Change::OpenCommand(_, number) = change {
        assert!(fields.k == "command.decided" && fields.permitted() && fields.cmd == Some(number));
    }
});
