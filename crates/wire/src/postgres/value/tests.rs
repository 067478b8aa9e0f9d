use super::*;

#[test]
fn null() {
    assert_eq!(shown(23, Format::Binary, None), "null");
}

fn shown(oid: u32, format: Format, value: Option<&[u8]>) -> String {
    let mut out = Vec::new();
    render(&mut out, oid, format, value);
    String::from_utf8(out).unwrap()
}
