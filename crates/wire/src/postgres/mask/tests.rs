//! Tables of values, styles and types, and what is made of each.

use super::*;

struct Keyed;

impl Tokens for Keyed {
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16] {
        let mut sum: u128 = 0x1234_5678_9abc_def0;
        for b in label.bytes().chain(value.iter().copied()) {
            sum = (sum ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        sum.to_be_bytes()
    }
}

fn text(style: Style, label: &str, oid: u32, modifier: i32, value: &str) -> Option<String> {
    let mask = Mask::new(style, label, Typed { oid, modifier, format: Format::Text });
    masked(&mask, value)
}

fn masked(mask: &Mask, value: &str) -> Option<String> {
    let mut out = Vec::new();
    mask.mask(value.as_bytes(), &Keyed, &mut out).then(|| String::from_utf8(out).unwrap())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn text_is_masked_by_style_and_label_and_fits() {
    use Style::*;
    let t = |style, label, value| text(style, label, 25, -1, value).unwrap();
    assert_eq!(t(Redact, "email", "ada@example.com"), "[email]");
    assert_eq!(t(Partial, "email", "ada@example.com"), "***@example.com");
    assert_eq!(t(Partial, "email", "a@x.com,b@y.com,z"), "***");
    assert_eq!(t(Partial, "card", "4111 1111 1111 1234"), "************1234");
    assert_eq!(t(Partial, "card", "41111234"), "************");
    assert_eq!(t(Partial, "phone", "+49 170 1234567"), "***4567");
    assert_eq!(t(Partial, "phone", "12345"), "***");
    assert_eq!(t(Partial, "name", "Ada"), "***");
    assert_eq!(t(Partial, "name", "Ada Lovelace"), "A***e");
    assert_eq!(t(Partial, "card+email", "Ada Lovelace"), "[card+email]");
    assert_eq!(t(Generalise, "born", "1815-12-10"), "1815-01-01");
    assert_eq!(t(Generalise, "ip", "10.1.2.3"), "10.1.2.0/24");
    assert_eq!(t(Generalise, "name", "Ada"), "[name]");
    assert_eq!(t(Zero, "name", "Ada"), "");
    assert_eq!(text(Null, "name", 25, -1, "Ada"), None);
    assert!(t(Token, "email", "ada@example.com").starts_with("tok_email_"));
    assert_eq!(text(Redact, "email", 1043, 9, "ada@e"), some("*****"));
    assert_eq!(text(Redact, "email", 1042, 14, "ada@e     "), some("[email]   "));
    assert_eq!(text(Token, "email", 1043, 10, "ada@e").map(|t| t.len()), Some(6));
    assert_eq!(text(Redact, "e'm\\a\"il", 25, -1, "x"), some("[email]"));
}

#[test]
fn masks_are_recognised_and_other_texts_are_not() {
    for style in [Style::Redact, Style::Partial, Style::Token] {
        for label in ["email", "card", "phone", "name", "us_ssn+email", "x.y-z"] {
            let mask = text(style, label, 25, -1, "ada.lovelace@example.com").unwrap();
            assert!(is_mask(&mask), "{mask}");
        }
    }
    for plain in
        ["", "[]", "[1]", "[a, b]", "a [email] b", "tok_x", "tok_email_short", "ada", "2 ** 3", "[1,2]"]
    {
        assert!(!is_mask(plain), "{plain}");
    }
    assert!(is_mask(" [email] "));
}

#[test]
fn nested_values_are_masked_in_place() {
    use Style::*;
    let json =
        r#"{"name": "A\u0064a", "n": [1, 2.5, true, null], "x": {"email": "a@b.c"}, "a@b.c": 1, "": ""}"#;
    assert_eq!(
        text(Redact, "pii", 114, -1, json),
        some(
            r#"{"name": "[pii]", "n": [null, null, null, null], "x": {"email": "[pii]"}, "[pii]": null, "[pii]": "[pii]"}"#
        )
    );
    assert_eq!(text(Zero, "pii", 3802, -1, r#"[1,"a",true]"#), some(r#"[0,"",false]"#));
    assert_eq!(text(Redact, "pii", 114, -1, r#"{"a"#), some(r#"{"masked":true}"#));
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    assert_eq!(text(Redact, "pii", 114, -1, &deep), some(r#"{"masked":true}"#));
    let keys = Mask::new(Redact, "pii", Typed { oid: 114, modifier: -1, format: Format::Text }).with_keys();
    assert_eq!(masked(&keys, r#"{"ada":1}"#), some(r#"{"[pii]":null}"#));
    assert_eq!(text(Redact, "pii", 1009, -1, r#"[0:1]={"a \"b\"",NULL}"#), some(r#"[0:1]={[pii],NULL}"#));
    assert_eq!(text(Redact, "pii", 1007, -1, "{{1,2},{3,4}}"), some("{{NULL,NULL},{NULL,NULL}}"));
    assert_eq!(text(Zero, "pii", 1007, -1, "{1,2}"), some("{0,0}"));
    assert_eq!(text(Zero, "pii", 1007, -1, "{1,2"), some("{}"));
    assert_eq!(text(Redact, "pii", 2249, -1, r#"(1,"Ada ""L""",,2020-01-01,t)"#), some("(,[pii],,,)"));
    assert_eq!(text(Zero, "pii", 3904, -1, "[1,5)"), some("empty"));
    assert_eq!(text(Redact, "pii", 3904, -1, "[1,5)"), None);
    assert_eq!(text(Redact, "pii", 99_999, -1, "happy"), None);
}

#[test]
fn text_without_a_type_gets_the_mask_of_what_it_looks_like() {
    let of = |style, value| masked(&Mask::untyped(style, "pii"), value);
    assert_eq!(of(Style::Redact, "Ada"), some("[pii]"));
    assert_eq!(of(Style::Redact, "42"), None);
    assert_eq!(of(Style::Zero, "-42.5"), some("0"));
    assert_eq!(of(Style::Redact, "t"), None);
    assert_eq!(of(Style::Redact, "2020-05-05"), None);
    assert_eq!(of(Style::Generalise, "2020-05-05 10:11:12+02"), some("2020-01-01 00:00:00+02"));
    assert_eq!(of(Style::Redact, r#"{"a": "b"}"#), some(r#"{"a": "[pii]"}"#));
    assert_eq!(of(Style::Redact, "{a,b}"), some("{[pii],[pii]}"));
    assert_eq!(of(Style::Redact, "{a"), some("[pii]"));
    assert_eq!(of(Style::Redact, "\\xdead"), some("\\x"));
    assert_eq!(of(Style::Redact, "10.1.2.3"), some("0.0.0.0/0"));
}

/// Values that look like something.
const HOSTILE: [&str; 40] = [
    "",
    "0",
    "a",
    "1",
    "-1",
    "+",
    "t",
    "f",
    "true",
    "null",
    "NULL",
    "{",
    "}",
    "{}",
    "{a,b}",
    "{\"a\":1}",
    "[",
    "[]",
    "[1]",
    "[0:1]={a,b}",
    "[1:1]={",
    "]={",
    "\\x",
    "\\x00ff",
    "()",
    "(a)",
    "(a,b)",
    "(\"a\"\"\",)",
    "10.0.0.1",
    "::1",
    "00:00:00",
    "2020-01-01",
    "infinity",
    "NaN",
    "2020-01-01 00:00:00+00",
    "00000000-0000-0000-0000-000000000007",
    "08:00:2b:01:02:03",
    "B'101'",
    "\u{0}\u{1}",
    "é",
];

#[test]
fn what_is_made_of_a_value_has_one_mask_whatever_the_value_is() {
    let binary: [&[u8]; 8] = [
        b"",
        &[0],
        &[1, b'{', b'}'],
        &[0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 4, 0, 0, 0, 7],
        &[0, 0, 0, 2, 0, 0, 0, 25, 0, 0, 0, 1, b'a', 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff],
        &[2, 32, 0, 4, 10, 0, 0, 1],
        &[0; 16],
    ];
    let oids = [
        16, 17, 18, 19, 20, 25, 114, 774, 829, 869, 650, 1042, 1043, 1082, 1114, 1186, 1560, 1562, 1700,
        2249, 2275,
    ];
    let more = [2278, 2287, 2950, 3614, 3802, 3904, 4451, 1009, 1007, 603, 1020, 99_999];
    for style in Style::ALL {
        let mut masks = vec![(Mask::untyped(style, "pii").formless(), Format::Text, 0)];
        for format in [Format::Text, Format::Binary] {
            for &oid in oids.iter().chain(&more) {
                masks.push((
                    Mask::new(style, "pii", Typed { oid, modifier: -1, format }).formless(),
                    format,
                    oid,
                ));
            }
        }
        for (mask, format, oid) in masks {
            let of = |value: &[u8]| {
                let mut out = Vec::new();
                mask.mask(value, &Keyed, &mut out).then_some(out)
            };
            let first = of(b"");
            for value in HOSTILE.iter().map(|v| v.as_bytes()).chain(binary) {
                assert_eq!(of(value), first, "{style:?} {format:?} type {oid}: {value:?}");
            }
        }
    }
    let of = |oid, value| {
        masked(
            &Mask::new(Style::Redact, "pii", Typed { oid, modifier: -1, format: Format::Text }).formless(),
            value,
        )
    };
    assert_eq!(of(2249, "(1,2)"), some("([pii])"));
    assert_eq!(of(1009, "{a,b}"), some("{[pii]}"));
    assert_eq!(of(2287, "{\"(1,2)\"}"), some("{([pii])}"));
    assert_eq!(masked(&Mask::untyped(Style::Redact, "pii").formless(), "0"), some("[pii]"));
}

#[test]
fn tokens_are_the_same_in_both_formats_and_fit_the_type() {
    let both = |oid: u32, modifier: i32, text: &str, binary: &[u8]| {
        let mut out = [Vec::new(), Vec::new()];
        let [t, b] = &mut out;
        let of = |format| Mask::new(Style::Token, "id", Typed { oid, modifier, format });
        assert!(of(Format::Text).mask(text.as_bytes(), &Keyed, t));
        assert!(of(Format::Binary).mask(binary, &Keyed, b));
        let mut shown = Vec::new();
        crate::postgres::value::text_form(&mut shown, oid, b).unwrap();
        assert_eq!(String::from_utf8_lossy(t), String::from_utf8_lossy(&shown), "type {oid}");
        String::from_utf8(shown).unwrap()
    };
    assert!(both(21, -1, "7", &[0, 7]).parse::<i16>().unwrap() > 0);
    assert!(both(23, -1, "7", &[0, 0, 0, 7]).parse::<i32>().unwrap() > 0);
    assert!(both(20, -1, "7", &[0, 0, 0, 0, 0, 0, 0, 7]).parse::<i64>().unwrap() > 0);
    let numeric = [0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    both(1700, -1, "7", &numeric);
    // numeric(5,2): three digits before the point.
    assert!(both(1700, (5 << 16 | 2) + 4, "7", &numeric).len() <= 3);
    both(25, -1, "seven", b"seven");
    assert!(both(2950, -1, "00000000-0000-0000-0000-000000000007", &7_u128.to_be_bytes()).contains("-8"));
}

#[test]
fn a_year_begins_where_it_does() {
    use crate::postgres::value::{days_before_year, year_of};
    for year in [-4713, -1, 0, 1, 4, 100, 1900, 1999, 2000, 2001, 2024, 9999, 294_276] {
        let first = days_before_year(year);
        assert_eq!((year_of(first), year_of(first - 1)), (year, year - 1));
    }
    assert_eq!(days_before_year(2000), 0);
}
