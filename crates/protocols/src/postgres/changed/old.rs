//! The values of a row as the statement itself gives them: a `ROW`, which the server writes with each type's own output
//! function. No cast is in it, so nothing that somebody has defined in the database can fail there or tell something else.
//!
//! Those before an UPDATE are read by a subquery in its RETURNING list, which sees the table as it was when the
//! statement began. Where another transaction changed the row in between, that is not what was replaced; so the subquery
//! gives a row only if it is the version that this very change replaced: its `xmax` is the new row's `xmin`. Otherwise
//! (also behind a row lock that others share) it gives NULL, and the record says that the values were not read.

use std::fmt::Write as _;

use firsthand_sql::{Action, Change, quoted};

use super::table::{Column, Table};

/// The subquery's name for the table. A statement that uses it itself does without.
const ALIAS: &str = "firsthand_old";

/// Types from here on are made by users; what `=` of the system's own means for them is not certain.
const USER_TYPES_FROM: u32 = 16_384;

/// Bytes, as they are stored, that all values of a row take together at most: what is larger is not worth the server's time
/// and memory, nor the way here. The record itself keeps 1 MiB of all rows of a command.
pub(super) const ROW_BYTES_MAX: usize = 256 << 10;
/// The share of one column in that, where there are many.
const VALUE_BYTES_MIN: usize = 8 << 10;

/// A row's values as one: `(t,…)`, or where one of them is too large (`most` is for all of them), only those of the key: `(f,…)`.
pub(super) fn row(qualifier: &str, columns: &[Column], most: usize) -> String {
    let qualifier = quoted(qualifier);
    let list = |flag: &str, wanted: &mut dyn Iterator<Item = &Column>| {
        let mut out = format!("ROW({flag}");
        for column in wanted {
            let _ = write!(out, ", {qualifier}.{}", quoted(&column.name));
        }
        out + ")"
    };
    let all = list("true", &mut columns.iter());
    let wide: Vec<String> = columns
        .iter()
        .filter(|c| c.wide)
        .map(|c| format!("pg_catalog.pg_column_size({qualifier}.{})", quoted(&c.name)))
        .collect();
    if wide.is_empty() {
        return all;
    }
    let most = (most / wide.len()).max(VALUE_BYTES_MIN);
    let keys = list("false", &mut columns.iter().filter(|c| c.key));
    // GREATEST passes over NULL, and goes by the type's own order whatever the search path.
    let wide = wide.join(", ");
    format!("CASE WHEN GREATEST({wide}) OPERATOR(pg_catalog.>) {most} THEN {keys} ELSE {all} END")
}

/// The subquery for a change of this table, where it is exact: these columns' values.
pub(super) fn subquery(change: &Change, table: &Table, columns: &[Column], most: usize) -> Option<String> {
    let keys: Vec<&Column> = columns.iter().filter(|c| c.key).collect();
    let sure = |c: &&Column| c.type_oid < USER_TYPES_FROM && !change.sets.contains(&c.name);
    if change.action != Action::Update
        || !table.alone
        || !table.whole
        || table.remade
        || change.qualifier() == ALIAS
        || keys.is_empty()
        || !keys.iter().all(sure)
    {
        return None;
    }
    let qualifier = quoted(change.qualifier());
    let mut same: Vec<_> = keys
        .iter()
        .map(|c| quoted(&c.name))
        .map(|name| format!("{ALIAS}.{name} OPERATOR(pg_catalog.=) {qualifier}.{name}"))
        .collect();
    same.push(format!("{ALIAS}.xmax OPERATOR(pg_catalog.=) {qualifier}.xmin"));
    Some(format!(
        "(SELECT {} FROM {}.{} {ALIAS} WHERE {})",
        row(ALIAS, columns, most),
        quoted(&table.schema),
        quoted(&table.name),
        same.join(" AND ")
    ))
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// As the server wrote it; `None`: NULL.
    Is(Option<Vec<u8>>),
    /// It was not sent: it, or another one of the row, is too large.
    Wide,
}

/// A row's values, one for each column; `None`: it cannot be read.
pub(super) fn values(written: &[u8], columns: &[Column]) -> Option<Vec<Value>> {
    let mut fields = fields(written)?.into_iter();
    let all = fields.next()?? == b"t";
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        values.push(if all || column.key { Value::Is(fields.next()?) } else { Value::Wide });
    }
    fields.next().is_none().then_some(values)
}

/// The fields of `(a,"b "" \\ c",,"")`: what is empty and not in quotes is NULL.
fn fields(written: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = written.strip_prefix(b"(")?.strip_suffix(b")")?.iter().copied().peekable();
    let mut fields = Vec::new();
    let (mut field, mut quoted, mut inside) = (Vec::new(), false, false);
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => field.push(rest.next()?),
            b'"' if inside && rest.peek() == Some(&b'"') => field.extend(rest.next()),
            b'"' => (inside, quoted) = (!inside, true),
            b',' if !inside => {
                let field = std::mem::take(&mut field);
                fields.push((quoted || !field.is_empty()).then_some(field));
                quoted = false;
            }
            byte => field.push(byte),
        }
    }
    fields.push((quoted || !field.is_empty()).then_some(field));
    (!inside).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, key: bool, wide: bool) -> Column {
        Column { name: name.to_owned(), number: 1, type_oid: 25, key, readable: true, wide }
    }

    fn is(text: &str) -> Value {
        Value::Is(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn rows_are_read_as_the_server_writes_them() {
        let columns = [column("a", true, false), column("b", false, true), column("c", false, true)];
        for (written, want) in [
            (r#"(t,1,"b "" \\ c",)"#, Some(vec![is("1"), is("b \" \\ c"), Value::Is(None)])),
            (r#"(t,"","(x,y)","a,b")"#, Some(vec![is(""), is("(x,y)"), is("a,b")])),
            ("(f,7)", Some(vec![is("7"), Value::Wide, Value::Wide])),
            ("(t,1,2)", None),
            ("(t,1,2,3,4)", None),
            ("(t,1,\"2,3)", None),
            ("t,1,2,3", None),
            ("", None),
        ] {
            assert_eq!(values(written.as_bytes(), &columns), want, "{written}");
        }
        assert_eq!(values(b"(f)", &[column("a", false, true)]), Some(vec![Value::Wide]));
    }

    #[test]
    fn only_where_values_may_be_large_their_size_is_looked_at() {
        assert_eq!(row("t", &[column("a", true, false)], ROW_BYTES_MAX), r#"ROW(true, "t"."a")"#);
        assert_eq!(
            row("T", &[column("a", true, false), column("b", false, true)], ROW_BYTES_MAX),
            r#"CASE WHEN GREATEST(pg_catalog.pg_column_size("T"."b")) OPERATOR(pg_catalog.>) 262144 THEN ROW(false, "T"."a") ELSE ROW(true, "T"."a", "T"."b") END"#
        );
    }
}
