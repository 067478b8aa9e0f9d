//! What a field is, and whether an entry is what the list of kinds says: for tests, and for whoever reads a record
//! strictly. Nothing here is on the way of writing.

use serde_json::{Map, Value};

/// A field of a leaf, of a payload, or of an object in one of them.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What stands there.
    pub form: Form,
    /// What it means.
    pub means: &'static str,
}

/// What stands in a field.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number; above 2^53 a string of digits, because readers of JSON lose such numbers.
    Number,
    /// `true`; absent where it does not hold.
    True,
    /// `true` or `false`.
    Bool,
    /// RFC 3339, UTC, microseconds.
    Time,
    /// A string, or a number.
    TextOrNumber,
    /// A string, `null`, or `{"hex":…,"type":…}` for bytes that cannot be read (the oid of their type where it is known).
    Datum,
    /// A list of strings.
    Texts,
    /// An object with these keys.
    Object(&'static [Field]),
    /// A list of objects with these keys.
    Objects(&'static [Field]),
    /// A list of rows: each a list of what [`Form::Datum`] is, or that alone.
    Rows,
}

impl Form {
    /// The words for it in the documentation.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::True => "true",
            Self::Bool => "true or false",
            Self::Time => "time",
            Self::TextOrNumber => "text or number",
            Self::Datum => "text, null or bytes",
            Self::Texts => "list of text",
            Self::Object(_) => "object",
            Self::Objects(_) => "list of objects",
            Self::Rows => "list of rows",
        }
    }

    /// The fields of the objects that stand there, and what stands between the key and theirs.
    #[must_use]
    pub const fn parts(&self) -> (&'static str, &'static [Field]) {
        match self {
            Self::Object(parts) => (".", parts),
            Self::Objects(parts) => ("[].", parts),
            _ => ("", &[]),
        }
    }

    fn look(&self, at: &str, value: &Value, seen: &mut dyn FnMut(Seen<'_>)) {
        let fits = match self {
            Self::Text => value.is_string(),
            Self::Number => number(value),
            Self::True => *value == Value::Bool(true),
            Self::Bool => value.is_boolean(),
            Self::Time => value.as_str().is_some_and(|t| super::super::moment::parse(t).is_some()),
            Self::TextOrNumber => value.is_string() || number(value),
            Self::Datum => datum(value),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Object(parts) => value.as_object().is_some_and(|object| {
                fields(at, ".", object, &[parts], seen);
                true
            }),
            Self::Objects(parts) => value.as_array().is_some_and(|list| {
                list.iter().all(|each| {
                    each.as_object().is_some_and(|object| {
                        fields(at, "[].", object, &[parts], seen);
                        true
                    })
                })
            }),
            Self::Rows => value.as_array().is_some_and(|rows| {
                rows.iter().all(|row| match row {
                    Value::Array(values) => values.iter().all(datum),
                    alone => datum(alone),
                })
            }),
        };
        if !fits {
            seen(Seen::Wrong(format!("`{at}` should be {}, and is {value}", self.words())));
        }
    }
}

fn datum(value: &Value) -> bool {
    let bytes = |object: &Map<String, Value>| {
        object.get("hex").is_some_and(Value::is_string)
            && object.iter().all(|(key, value)| key == "hex" || (key == "type" && number(value)))
    };
    value.is_string() || value.is_null() || value.as_object().is_some_and(bytes)
}

fn number(value: &Value) -> bool {
    /// Up to here every reader of JSON keeps whole numbers exactly.
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Number(n) => n.as_u64().is_some_and(|n| n <= EXACT),
        Value::String(digits) => digits.parse::<u64>().is_ok_and(|n| n >= EXACT),
        _ => false,
    }
}

/// What a look at an entry finds.
enum Seen<'a> {
    /// A documented field, by its whole path.
    Field(&'a str),
    /// Something that the list does not say.
    Wrong(String),
}

fn fields(
    at: &str,
    between: &str,
    object: &Map<String, Value>,
    known: &[&'static [Field]],
    seen: &mut dyn FnMut(Seen<'_>),
) {
    for (key, value) in object {
        let path = format!("{at}{between}{key}");
        match known.iter().copied().flatten().find(|field| field.key == key) {
            Some(field) => {
                seen(Seen::Field(&path));
                field.form.look(&path, value, seen);
            }
            None => seen(Seen::Wrong(format!("`{path}` is not documented"))),
        }
    }
}

/// What an entry says that the list of kinds does not, or otherwise than the list says; nothing when all is documented.
/// `payload`: as it was sealed, where it could be opened. `written` learns the path of every documented field, such as
/// `leaf.who.chain[].id`.
pub fn undocumented(leaf: &Value, payload: Option<&Value>, written: &mut dyn FnMut(&str)) -> Vec<String> {
    let mut wrong = Vec::new();
    let (Some(object), Some(kind)) =
        (leaf.as_object(), leaf.get("k").and_then(Value::as_str).and_then(super::kind))
    else {
        return vec![format!("no kind is documented for {leaf}")];
    };
    let mut seen = |it: Seen<'_>| match it {
        Seen::Field(path) => written(path),
        Seen::Wrong(what) => wrong.push(format!("{}: {what}", kind.name)),
    };
    let of_session: &[Field] = if kind.of_session { super::SESSION } else { &[] };
    fields("leaf", ".", object, &[super::COMMON, of_session, kind.leaf], &mut seen);
    match payload {
        None => {}
        Some(Value::Object(payload)) => fields("payload", ".", payload, &[kind.payload], &mut seen),
        Some(other) => seen(Seen::Wrong(format!("the payload is not an object: {other}"))),
    }
    wrong
}
