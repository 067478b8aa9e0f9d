//! The target's own texts, where they may hold values that policy masks: each is replaced by what its SQLSTATE says.
//! What cannot hold a value stays: severity, code, position, names of tables and constraints.

use bytes::BytesMut;
use firsthand_wire::postgres::backend::{Notification, Report};
use firsthand_wire::postgres::encode::message;

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
