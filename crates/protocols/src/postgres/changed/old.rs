//! The values before an UPDATE, read by the statement itself: a subquery in its RETURNING list sees the table as it was when the
//! statement began. Where another transaction changed the row in between, that is not what was replaced; so the subquery
//! gives a row only if it is the version that this very change replaced: its `xmax` is the new row's `xmin`. Otherwise
//! (also behind a row lock that others share) it gives NULL, and the record says that the values were not read.

use firsthand_sql::{Action, Change, quoted};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::field::Fields;

use super::table::{Column, Table};

/// The subquery's name for the table. A statement that uses it itself does without.
const ALIAS: &str = "firsthand_old";

/// Types from here on are made by users; what `=` of the system's own means for them is not certain.
const USER_TYPES_FROM: u32 = 16_384;

/// `boolean`, which reads otherwise as text than in a result.
const BOOL: u32 = 16;

/// The subquery for a change of this table, where it is exact: an array of these columns' values as text.
pub(super) fn subquery(change: &Change, table: &Table, columns: &[Column]) -> Option<String> {
    let keys: Vec<&Column> = columns.iter().filter(|c| c.key).collect();
    let sure = |c: &&Column| c.type_oid < USER_TYPES_FROM && !change.sets.contains(&c.name);
    if change.action != Action::Update
        || !table.alone
        || change.qualifier() == ALIAS
        || keys.is_empty()
        || !keys.iter().all(sure)
    {
        return None;
    }
    let values: Vec<_> =
        columns.iter().map(|c| format!("{ALIAS}.{}::pg_catalog.text", quoted(&c.name))).collect();
    let qualifier = quoted(change.qualifier());
    let mut same: Vec<_> = keys
        .iter()
        .map(|c| quoted(&c.name))
        .map(|name| format!("{ALIAS}.{name} OPERATOR(pg_catalog.=) {qualifier}.{name}"))
        .collect();
    same.push(format!("{ALIAS}.xmax OPERATOR(pg_catalog.=) {qualifier}.xmin"));
    Some(format!(
        "(SELECT ARRAY[{}] FROM {}.{} {ALIAS} WHERE {})",
        values.join(", "),
        quoted(&table.schema),
        quoted(&table.name),
        same.join(" AND ")
    ))
}

/// The array's values; `None`: there is no such row, or it cannot be read.
pub(super) fn values(array: &[u8], format: Format, columns: &[Column]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut values = if format == Format::Binary { binary(array)? } else { text(array)? };
    for (value, column) in values.iter_mut().zip(columns).filter(|(_, c)| c.type_oid == BOOL) {
        if let Some(word) = value {
            word.truncate(1);
        }
        debug_assert_eq!(column.type_oid, BOOL);
    }
    (values.len() == columns.len()).then_some(values)
}

/// `{a,"b \" c",NULL}`.
fn text(array: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = array.strip_prefix(b"{")?.strip_suffix(b"}")?.iter().copied();
    let mut values = Vec::new();
    let (mut value, mut quoted, mut inside) = (Vec::new(), false, false);
    let mut done = |value: &mut Vec<u8>, quoted: bool| {
        let value = std::mem::take(value);
        values.push(if !quoted && value == b"NULL" { None } else { Some(value) });
    };
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => value.push(rest.next()?),
            b'"' => (inside, quoted) = (!inside, true),
            b',' if !inside => {
                done(&mut value, quoted);
                quoted = false;
            }
            byte => value.push(byte),
        }
    }
    done(&mut value, quoted);
    Some(values)
}

/// Dimensions, a flag, the type; length and bounds of the one dimension; the values.
fn binary(array: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut fields = Fields::new(array, "an array");
    let one = fields.i32("dimensions").ok()? == 1;
    fields.bytes(8, "its kind").ok()?;
    let len = fields.i32("its length").ok()?;
    fields.bytes(4, "its bound").ok()?;
    let mut values = Vec::new();
    for _ in 0..len {
        values.push(fields.value("a value").ok()?.map(<[u8]>::to_vec));
    }
    one.then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_text_are_read_in_both_formats() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            text(br#"{a,NULL,"NULL","b \" \\ c","",x y}"#),
            Some(vec![some("a"), None, some("NULL"), some("b \" \\ c"), some(""), some("x y"),])
        );
        assert_eq!(text(b"NULL"), None);
        let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1];
        bytes.extend([0, 0, 0, 1, b'a', 255, 255, 255, 255]);
        assert_eq!(binary(&bytes), Some(vec![some("a"), None]));
        assert_eq!(binary(&bytes[..22]), None);
    }
}
