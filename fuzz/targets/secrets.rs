//! The lexer that finds secrets in statements and in what is said of them, on any text.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = firsthand_sql::mask_report(text);
    let connection = firsthand_sql::mask_connection(text);
    let masked = firsthand_sql::mask(text);
    // The quick look first lets nothing through that the slow one finds.
    assert!(firsthand_sql::may_hold_secret(data) || (connection.is_none() && masked.is_none()), "{text:?}");
    if let Some(masked) = masked {
        assert!(masked.text != text, "what is masked differs: {text:?}");
        let _ = firsthand_sql::mask_message(text, &masked);
    }
});
