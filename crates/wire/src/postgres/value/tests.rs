//! Each type both ways: text as the server writes it, binary as drivers send it.

use super::*;

fn shown(oid: u32, format: Format, value: Option<&[u8]>) -> String {
    let mut out = b"before".to_vec();
    render(&mut out, oid, format, value);
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Undoes `str::escape_default`.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(match (c, c == '\\') {
            (_, false) => c,
            _ => match rest.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => {
                    let hex: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
                }
                other => other,
            },
        });
    }
    out
}

/// What a real server sent for each value, in both formats.
fn captured() -> impl Iterator<Item = (u32, Vec<u8>, String)> {
    include_str!("captured.txt").lines().filter(|l| !l.starts_with('#')).map(|line| {
        let mut parts = line.split('\t');
        let mut part = || parts.next().unwrap();
        (part().parse().unwrap(), bytes(part()), unescape(part()))
    })
}

#[test]
fn binary_values_read_as_the_server_writes_them() {
    let mut count = 0;
    for (oid, binary, text) in captured() {
        let expected = shown(oid, Format::Text, Some(text.as_bytes()));
        assert_eq!(shown(oid, Format::Binary, Some(&binary)), expected, "{}", type_name(oid).unwrap());
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[test]
fn malformed_values_are_hex_and_never_more() {
    for (oid, binary, _) in captured() {
        for cut in 0..binary.len() {
            shown(oid, Format::Binary, Some(&binary[..cut]));
        }
        shown(oid, Format::Binary, Some(&[&binary[..], &[0]].concat()));
        for at in 0..binary.len() {
            let mut wrong = binary.clone();
            wrong[at] ^= 0xff;
            shown(oid, Format::Binary, Some(&wrong));
        }
    }
    let hex = |oid, hex: &str| {
        let shown = shown(oid, Format::Binary, Some(&bytes(hex)));
        assert_eq!(shown, format!("{{\"hex\":\"{hex}\",\"type\":{oid}}}"));
    };
    hex(23, "0000");
    hex(1700, "0001000000000000ffff");
    hex(1700, "000100000000");
    hex(1007, "000000010000000000000017000000000000000100000004");
    hex(1007, "00000001000000000000001700ffffff00000001");
    hex(1083, "ffffffffffffffff");
    hex(869, "0300ff04");
    hex(3802, "027b7d");
    hex(600, "00");
    hex(16_999, "00ff");
    hex(790, "0000000000000064");
}

#[test]
fn text_is_shown_exactly_and_null_is_null() {
    assert_eq!(shown(23, Format::Binary, None), "null");
    assert_eq!(shown(25, Format::Text, Some(b"a \"b\"\n")), r#""a \"b\"\n""#);
    assert_eq!(shown(16_999, Format::Text, Some("é".as_bytes())), "\"é\"");
    assert_eq!(shown(25, Format::Text, Some(b"\xe9")), r#"{"hex":"e9"}"#);
    assert_eq!(shown(25, Format::Binary, Some(b"\xe9")), r#"{"hex":"e9","type":25}"#);
    assert_eq!(shown(3802, Format::Binary, Some(b"\x01\"\xe9\"")), r#"{"hex":"0122e922","type":3802}"#);
}

#[test]
fn newer_servers_forms() {
    let infinite = [&i64::MAX.to_be_bytes()[..], &i32::MAX.to_be_bytes(), &i32::MAX.to_be_bytes()].concat();
    assert_eq!(shown(1186, Format::Binary, Some(&infinite)), "\"infinity\"");
    assert_eq!(shown(18, Format::Binary, Some(&[0xe9])), r#""\\351""#);
}

#[test]
fn a_small_value_cannot_become_a_huge_text() {
    // An array of numerics of 131,072 digits each.
    let numeric = bytes("00017fff000000000001");
    assert_eq!(shown(1700, Format::Binary, Some(&numeric)).len(), 32_767 * 4 + 3);
    let element = [&10_i32.to_be_bytes()[..], &numeric].concat();
    let header: Vec<u8> = [1, 0, 1700, 1000, 1].iter().flat_map(|n: &i32| n.to_be_bytes()).collect();
    let many = [header, element.repeat(1000)].concat();
    assert!(shown(1231, Format::Binary, Some(&many)).starts_with("{\"hex\":"));
    // Records in records.
    let mut deep = bytes("00000001000000190000000122");
    for _ in 0..40 {
        let length = i32::try_from(deep.len()).unwrap();
        deep = [&1_i32.to_be_bytes()[..], &2249_i32.to_be_bytes(), &length.to_be_bytes(), &deep].concat();
    }
    assert!(shown(2249, Format::Binary, Some(&deep)).starts_with("{\"hex\":"));
}
