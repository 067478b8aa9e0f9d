//! FunctionCall messages ("fast path") as commands. (PostgreSQL docs, "Fast-Path Interface", "Message Formats".)
//!
//! The message names its function by number, and only the target knows which that is. Those that drivers call this way are the
//! ones of large objects, whose numbers are the same in every server: they are told by name and with their types.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects, Shape, Step};
use firsthand_model::json::Json;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::FunctionCall;

use super::batch::{PARAMETERS_CUT, Parts};
use super::knowing::Pending;
use firsthand_sql::SecretParameters;

use super::parameters;
use super::role::Change;
use super::text::Recorded;

const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT4: u32 = 23;
const OID: u32 = 26;

/// A function of large objects: number, name, types of its arguments, type of its result (`pg_proc.dat`).
type Known = (u32, &'static str, &'static [u32], u32);

const KNOWN: [Known; 13] = [
    (715, "lo_create", &[OID], OID),
    (952, "lo_open", &[OID, INT4], INT4),
    (953, "lo_close", &[INT4], INT4),
    (954, "loread", &[INT4, INT4], BYTEA),
    (955, "lowrite", &[INT4, BYTEA], INT4),
    (956, "lo_lseek", &[INT4, INT4, INT4], INT4),
    (957, "lo_creat", &[INT4], OID),
    (958, "lo_tell", &[INT4], INT4),
    (964, "lo_unlink", &[OID], INT4),
    (1004, "lo_truncate", &[INT4, INT4], INT4),
    (3170, "lo_lseek64", &[INT4, INT8, INT4], INT8),
    (3171, "lo_tell64", &[INT4], INT8),
    (3172, "lo_truncate64", &[INT4, INT8], INT4),
];

/// How the answer to a call is read: its type (0: not known) and format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) type_oid: u32,
    pub(super) format: Format,
}

/// The parts of a FunctionCall as a command, and how its answer is read.
pub(super) fn called(call: &FunctionCall<'_>) -> (Parts, Answer) {
    let known = KNOWN.iter().find(|(oid, ..)| *oid == call.function);
    let types: &[u32] = known.map_or(&[], |(_, _, types, _)| types);
    let values = call.arguments.iter().enumerate().map(|(i, v)| (call.formats.of(i), v));
    let parameters =
        parameters::render(values, |i| types.get(i).copied().unwrap_or(0), SecretParameters::default());
    let answer = Answer { type_oid: known.map_or(0, |(.., result)| *result), format: call.result_format };
    (parts(Some(call.function), known, parameters), answer)
}

/// One whose arguments cannot be read, or not even the function.
pub(super) fn unreadable(body: &[u8]) -> Parts {
    let function = body.first_chunk().map(|oid| u32::from_be_bytes(*oid));
    parts(function, None, (Json::default(), true))
}

fn parts(function: Option<u32>, known: Option<&Known>, (parameters, cut): (Json, bool)) -> Parts {
    let text = match (function, known) {
        (Some(oid), Some((_, name, ..))) => format!("function call {name} ({oid})"),
        (Some(oid), None) => format!("function call {oid}"),
        (None, _) => "function call".to_owned(),
    };
    let shape = Shape {
        tag: String::new(),
        effects: Effects::only(Effect::Execute).and(Effect::Unknown),
        tables: Vec::new(),
        plain_read: false,
        coverage: Vec::new(),
        facts: None,
    };
    Parts {
        step: Step::Run,
        via: "function",
        shape: Arc::new(shape),
        text: Recorded { original_bytes: text.len() as u64, text, ..Recorded::default() },
        change: Change::None,
        parameters,
        // Nobody can approve a number and values: what they mean is not told.
        parameters_digest: None,
        names: Json::default(),
        opaque: false,
        coverage: if cut { vec![PARAMETERS_CUT] } else { Vec::new() },
        changes: None,
        pending: Pending::default(),
        access: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::radius::{Count, count};
    use super::*;

    /// A FunctionCall's body: all in binary.
    fn body(function: u32, arguments: &[&[u8]]) -> Vec<u8> {
        let mut out = function.to_be_bytes().to_vec();
        out.extend([0, 1, 0, 1]);
        out.extend((arguments.len() as u16).to_be_bytes());
        for argument in arguments {
            out.extend((argument.len() as u32).to_be_bytes());
            out.extend_from_slice(argument);
        }
        out.extend([0, 1]);
        out
    }

    #[test]
    fn functions_of_large_objects_are_told_by_name_and_with_their_values() {
        let binary = |type_oid| Answer { type_oid, format: Format::Binary };
        type Case = (u32, &'static [&'static [u8]], &'static str, &'static str, Answer);
        let cases: [Case; 3] = [
            (
                952,
                &[&[0, 0, 0x40, 0x51], &[0, 6, 0, 0]],
                "function call lo_open (952)",
                r#"[{"type":"oid","value":"16465"},{"type":"int4","value":"393216"}]"#,
                binary(INT4),
            ),
            (
                955,
                &[&[0, 0, 0, 0], b"hello"],
                "function call lowrite (955)",
                r#"[{"type":"int4","value":"0"},{"type":"bytea","value":"\\x68656c6c6f"}]"#,
                binary(INT4),
            ),
            (
                4711,
                &[&[0, 0, 0, 1]],
                "function call 4711",
                r#"[{"value":{"hex":"00000001","type":0}}]"#,
                binary(0),
            ),
        ];
        for (function, arguments, text, parameters, answer) in cases {
            let body = body(function, arguments);
            let (parts, read) = called(&FunctionCall::read(&body).unwrap());
            assert_eq!((&*parts.text.text, read), (text, answer));
            assert_eq!(String::from_utf8_lossy(parts.parameters.as_bytes()), parameters);
        }
        assert_eq!(unreadable(&[0, 0, 3, 184]).text.text, "function call 952");
    }

    #[test]
    fn what_a_called_function_changes_is_not_told() {
        let shape = parts(Some(1598), None, (Json::default(), false)).shape;
        assert!(matches!(count(&shape, None), Count::Untold));
    }
}
