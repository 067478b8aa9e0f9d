//! The target's own texts, where they may hold values that policy masks: each is replaced by what its SQLSTATE says.
//! What cannot hold a value stays: severity, code, position, names of tables and constraints.

use std::ops::Range;

use bytes::BytesMut;
use firsthand_wire::postgres::backend::{Notification, Report};
use firsthand_wire::postgres::encode::message;

use super::Tools;
use super::found::{Look, Seen};
use super::stream::MASKED;

/// Says why a text is not the target's.
const WHY: &str = "(Firsthand withholds the target's words: they may hold masked values)";

/// Sentences by SQLSTATE (PostgreSQL docs, appendix A), for the codes that people meet.
const BY_CODE: [(&[u8], &str); 22] = [
    (b"22001", "value too long for its type"),
    (b"22003", "number out of range"),
    (b"22007", "invalid date or time"),
    (b"22008", "date or time out of range"),
    (b"22012", "division by zero"),
    (b"2200N", "invalid XML content"),
    (b"22023", "invalid parameter value"),
    (b"22P02", "invalid input syntax for a type"),
    (b"22P03", "invalid binary representation"),
    (b"21000", "more than one row returned by a subquery used as an expression"),
    (b"23502", "null value in a column violates a not-null constraint"),
    (b"23503", "a row violates a foreign key constraint"),
    (b"23505", "duplicate key value violates a unique constraint"),
    (b"23514", "a row violates a check constraint"),
    (b"23P01", "conflicting key value violates an exclusion constraint"),
    (b"25P02", "current transaction is aborted, commands ignored until end of transaction block"),
    (b"40001", "could not serialize access because of a concurrent transaction"),
    (b"40P01", "deadlock detected"),
    (b"42501", "permission denied"),
    (b"55P03", "could not obtain a lock"),
    (b"57014", "the statement was cancelled: on request, or because it ran into a timeout"),
    (b"P0001", "an exception was raised"),
];

/// Sentences by class.
const BY_CLASS: [(&[u8], &str); 20] = [
    (b"00", "a notice"),
    (b"01", "a warning"),
    (b"02", "no data"),
    (b"08", "connection exception"),
    (b"0A", "feature not supported"),
    (b"0L", "invalid grantor"),
    (b"22", "data exception"),
    (b"23", "integrity constraint violation"),
    (b"25", "invalid transaction state"),
    (b"28", "invalid authorization"),
    (b"2B", "dependent objects still exist"),
    (b"38", "external routine exception"),
    (b"40", "transaction rollback"),
    (b"42", "syntax error or access rule violation"),
    (b"53", "insufficient resources"),
    (b"54", "program limit exceeded"),
    (b"55", "object not in prerequisite state"),
    (b"57", "operator intervention"),
    (b"58", "system error"),
    (b"P0", "exception in a procedure"),
];

fn sentence(code: &[u8]) -> &'static str {
    let exact = BY_CODE.iter().find(|(c, _)| *c == code);
    let class = || BY_CLASS.iter().find(|(c, _)| code.starts_with(c));
    exact.or_else(class).map_or("an error", |(_, sentence)| sentence)
}

/// Whether a procedure's RAISE has made the report: then it may have put a value into any of its fields.
fn is_raised(report: &Report<'_>) -> bool {
    let routine = report.field(b'R').unwrap_or_default();
    routine == b"exec_stmt_raise" || routine.starts_with(b"PLy_") || routine.starts_with(b"plperl")
}

/// Whether the message tells of the statement's text alone: found while that was read, not while it ran.
fn is_about_the_text(report: &Report<'_>) -> bool {
    report.sqlstate().starts_with(b"42")
        && report.field(b'P').is_some()
        && [b'W', b'q', b'p', b'D'].iter().all(|field| report.field(*field).is_none())
        && !is_raised(report)
}

/// Whether it tells of data that a command came upon while it ran: `invalid input syntax for type integer: "…"`. What is wrong
/// with a constant stands at a place of the text.
pub(super) fn cites_data(report: &Report<'_>) -> bool {
    report.sqlstate().starts_with(b"22") && report.field(b'P').is_none()
}

/// Appends an error or notice in which no value can stand any more.
pub(super) fn quiet(tag: u8, report: &Report<'_>, out: &mut BytesMut) {
    let (raised, about_text) = (is_raised(report), is_about_the_text(report));
    let sentence = sentence(report.sqlstate());
    let text = format!("{sentence} {WHY}");
    message(out, tag, |out| {
        for (code, value) in report.fields() {
            let value = match code {
                b'S' | b'V' | b'C' | b'P' | b'F' | b'L' | b'R' => value,
                b's' | b't' | b'c' | b'd' | b'n' if !raised => value,
                b'M' | b'H' if about_text => value,
                b'M' => text.as_bytes(),
                _ => continue,
            };
            out.extend_from_slice(&[code]);
            out.extend_from_slice(value);
            out.extend_from_slice(&[0]);
        }
        out.extend_from_slice(&[0]);
    });
}

/// Errors whose DETAIL is a whole row (PostgreSQL: ExecConstraints), in which nothing says what a value is.
const OF_A_ROW: [&[u8]; 2] = [b"23502", b"23514"];

/// The report with what detection finds in its texts masked; `None`: nothing is.
pub(super) fn looked_at(tag: u8, report: &Report<'_>, tools: &mut Tools) -> Option<BytesMut> {
    let mut any = false;
    let mut fields = Vec::new();
    for (code, value) in report.fields() {
        let known = matches!(code, b'S' | b'V' | b'C' | b'P' | b'p' | b'F' | b'L' | b'R');
        let row = code == b'D' && OF_A_ROW.contains(&report.sqlstate()) && !is_raised(report);
        let masked = match code {
            _ if known => None,
            b'D' if row => in_brackets(value),
            _ => text(value, tools),
        };
        any |= masked.is_some();
        fields.push((code, masked.unwrap_or_else(|| value.to_vec())));
    }
    any.then(|| {
        let mut out = BytesMut::new();
        message(&mut out, tag, |out| {
            for (code, value) in &fields {
                out.extend_from_slice(&[*code]);
                out.extend(value.iter().filter(|b| **b != 0));
                out.extend_from_slice(&[0]);
            }
            out.extend_from_slice(&[0]);
        });
        out
    })
}

/// A row's values left out: what stands between the first bracket and the last.
fn in_brackets(value: &[u8]) -> Option<Vec<u8>> {
    let open = value.iter().position(|b| *b == b'(')?;
    let close = value.iter().rposition(|b| *b == b')').filter(|close| *close > open)?;
    let (before, after) = (value.get(..=open)?, value.get(close..)?);
    let masked = [before, MASKED, after].concat();
    (masked != value).then_some(masked)
}

/// A text with what is found in it masked. Values that stand behind the name of their column (`Key (a)=(x)`, `column a: "x"`)
/// are looked at as values of it.
fn text(value: &[u8], tools: &mut Tools) -> Option<Vec<u8>> {
    let named = of_columns(value).filter(|(column, inside)| {
        let column = String::from_utf8_lossy(column);
        value.get(inside.clone()).is_some_and(|v| look(v, &column, tools).is_some())
    });
    let mut out = Vec::new();
    let mut at = 0;
    for (_, inside) in named.collect::<Vec<_>>() {
        out.extend_from_slice(value.get(at..inside.start).unwrap_or_default());
        out.extend_from_slice(MASKED);
        at = inside.end;
    }
    out.extend_from_slice(value.get(at..).unwrap_or_default());
    look(&out, "", tools).or((at > 0).then_some(out))
}

fn look(value: &[u8], column: &str, tools: &mut Tools) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match tools.look(&Look::Text(None), 0, column, value, &mut out) {
        Seen::Nothing => None,
        Seen::Masked => Some(out),
        Seen::Null => Some(MASKED.to_vec()),
    }
}

/// The places of values with the names of their columns, in order.
fn of_columns(value: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let find = |from: usize, what: &[u8]| {
        let rest = value.get(from..)?;
        rest.windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    // `Key (a, b)=(x, y)`: names and values in the same order; a value may hold what stands between them.
    let key = || {
        let open = find(0, b"(")?;
        let middle = find(open, b")=(")?;
        let close = value.iter().rposition(|b| *b == b')').filter(|close| *close >= middle + 3)?;
        let names = value.get(open + 1..middle)?;
        Some((names, middle + 3..close))
    };
    // COPY's context: `COPY t, line 1, column a: "x"`.
    let column = || {
        let (name, open) = (find(0, b", column ")? + 9, find(0, b": \"")?);
        let close = value.len().checked_sub(1).filter(|close| *close >= open + 3)?;
        Some((value.get(name..open)?, open + 3..close))
    };
    let mut parts = Vec::new();
    if let Some((names, values)) = key() {
        let comma = |bytes: &[u8]| bytes.windows(2).filter(|w| w == b", ").count();
        if comma(names) == 0 || value.get(values.clone()).is_none_or(|v| comma(v) != comma(names)) {
            parts.push((names, values));
        } else {
            let mut at = values.start;
            for name in String::from_utf8_lossy(names).split(", ").map(str::len).scan(0, |from, len| {
                let name = names.get(*from..*from + len);
                *from += len + 2;
                name
            }) {
                let end = find(at, b", ").filter(|end| *end < values.end).unwrap_or(values.end);
                parts.push((name, at..end));
                at = end + 2;
            }
        }
    } else if let Some(part) = column() {
        parts.push(part);
    }
    parts.into_iter()
}

/// Appends a notification with another payload.
pub(super) fn notify(it: &Notification<'_>, payload: &[u8], out: &mut BytesMut) {
    message(out, b'A', |out| {
        out.extend_from_slice(&it.pid.to_be_bytes());
        out.extend_from_slice(it.channel);
        out.extend_from_slice(&[0]);
        out.extend(payload.iter().filter(|b| **b != 0));
        out.extend_from_slice(&[0]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(fields: &[(u8, &str)]) -> Vec<(char, String)> {
        let mut body = Vec::new();
        for (code, text) in fields {
            body.push(*code);
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        let report = Report::read(&body, "ErrorResponse").unwrap();
        let mut out = BytesMut::new();
        quiet(b'E', &report, &mut out);
        let report = Report::read(&out[5..], "ErrorResponse").unwrap();
        let mut again = BytesMut::new();
        quiet(b'E', &report, &mut again);
        assert_eq!(out, again, "quieting twice is quieting once");
        report.fields().map(|(c, t)| (char::from(c), String::from_utf8_lossy(t).into_owned())).collect()
    }

    #[test]
    fn values_are_dropped_and_names_stay() {
        let kept = after(&[
            (b'S', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key value violates unique constraint \"x\""),
            (b'D', "Key (email)=(ada@example.com) already exists."),
            (b'W', "ada"),
            (b'n', "x"),
        ]);
        let told: Vec<_> = kept.iter().map(|(c, _)| *c).collect();
        assert_eq!(told, ['S', 'C', 'M', 'n']);
        assert!(kept.iter().all(|(_, text)| !text.contains("ada@")));
    }

    #[test]
    fn what_tells_of_the_text_stays_and_what_is_raised_goes() {
        let missing = |extra: &[(u8, &str)]| {
            let mut fields = vec![(b'C', "42703"), (b'M', "column \"x\" does not exist"), (b'P', "8")];
            fields.extend_from_slice(extra);
            after(&fields).into_iter().find(|(c, _)| *c == 'M').unwrap().1
        };
        assert_eq!(missing(&[]), "column \"x\" does not exist");
        assert!(missing(&[(b'W', "PL/pgSQL function f()")]).contains("withholds"));
        assert!(missing(&[(b'R', "exec_stmt_raise")]).contains("withholds"));
        let raised =
            after(&[(b'C', "P0001"), (b'M', "ada"), (b'n', "ada"), (b't', "ada"), (b'R', "exec_stmt_raise")]);
        assert!(raised.iter().all(|(_, text)| !text.contains("ada")));
    }
}
