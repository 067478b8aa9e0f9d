//! How the data of a `COPY … TO STDOUT` or `COPY … FROM STDIN` is written: needed by whoever reads it on its way.

use pg_query::NodeEnum;
use pg_query::protobuf::DefElem;

/// The form of COPY data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyForm {
    /// Fields between delimiters, backslashes escape.
    Text,
    /// Quoted where needed.
    Csv,
    /// Lengths and bytes.
    Binary,
}

/// What such a COPY says of its data, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// The form.
    pub form: CopyForm,
    /// Between fields: one byte.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: Vec<u8>,
    /// Around fields of CSV: one byte.
    pub quote: u8,
    /// In front of quotes within quotes: one byte.
    pub escape: u8,
    /// The first line names the columns.
    pub header: bool,
    /// Of `COPY … FROM STDIN`: the table's name as written, folded.
    pub into: Option<String>,
    /// The columns that it names, in their order; none: all of them.
    pub columns: Vec<String>,
}

/// The options of a text that is one such COPY. `None`: it is something else, or it has an option that is not known here. Runs the parser: see [`crate::STACK_BYTES`].
pub fn copy_options(text: &[u8]) -> Option<CopyOptions> {
    let text = str::from_utf8(text).ok().filter(|t| t.len() <= crate::TEXT_BYTES_MAX)?;
    let parsed = pg_query::parse(text, 0).ok()?;
    let [only] = parsed.protobuf.stmts.as_slice() else { return None };
    let NodeEnum::CopyStmt(copy) = only.stmt.as_ref()?.node.as_ref()? else { return None };
    if copy.is_program || !copy.filename.is_empty() {
        return None;
    }
    let into = copy.relation.as_ref().filter(|_| copy.is_from).map(|r| r.relname.clone());
    let columns = copy.attlist.iter().filter_map(|name| match name.node.as_ref() {
        Some(NodeEnum::String(name)) => Some(name.sval.clone()),
        _ => None,
    });
    let columns = columns.collect();
    let options: Option<Vec<(&str, Given<'_>)>> = copy
        .options
        .iter()
        .map(|node| match node.node.as_ref() {
            Some(NodeEnum::DefElem(option)) => Some((option.defname.as_str(), given(option)?)),
            _ => None,
        })
        .collect();
    read(&options?).map(|read| CopyOptions { into, columns, ..read })
}

/// An option's argument.
enum Given<'a> {
    Text(&'a str),
    Truth(bool),
    Other,
}

fn given(option: &DefElem) -> Option<Given<'_>> {
    Some(match option.arg.as_ref().map(|arg| arg.node.as_ref()) {
        None => Given::Truth(true),
        Some(Some(NodeEnum::String(text))) => Given::Text(&text.sval),
        Some(Some(NodeEnum::Boolean(truth))) => Given::Truth(truth.boolval),
        Some(Some(NodeEnum::Integer(number))) => Given::Truth(number.ival != 0),
        Some(Some(_)) => Given::Other,
        Some(None) => return None,
    })
}

impl Given<'_> {
    /// As the server's `defGetBoolean` reads it.
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Text(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "on" | "1" => Some(true),
                "false" | "off" | "0" => Some(false),
                _ => None,
            },
            Self::Other => None,
        }
    }

    fn byte(&self) -> Option<u8> {
        match self {
            Self::Text(text) => match text.as_bytes() {
                [byte] => Some(*byte),
                _ => None,
            },
            _ => None,
        }
    }
}

fn read(options: &[(&str, Given<'_>)]) -> Option<CopyOptions> {
    let mut form = CopyForm::Text;
    for (name, value) in options {
        if *name == "format" {
            let Given::Text(word) = value else { return None };
            form = match word.to_ascii_lowercase().as_str() {
                "text" => CopyForm::Text,
                "csv" => CopyForm::Csv,
                "binary" => CopyForm::Binary,
                _ => return None,
            };
        }
    }
    let csv = form == CopyForm::Csv;
    let mut out = CopyOptions {
        form,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { Vec::new() } else { b"\\N".to_vec() },
        quote: b'"',
        escape: b'"',
        header: false,
        into: None,
        columns: Vec::new(),
    };
    let mut escape = None;
    for (name, value) in options {
        match *name {
            // Which fields are quoted shows in the data.
            "format" | "force_quote" | "freeze" | "force_null" | "force_not_null" => {}
            // What a row that cannot be read does changes nothing in how it is written.
            "on_error" | "log_verbosity" | "reject_limit" => {}
            "delimiter" => out.delimiter = value.byte()?,
            "null" => {
                let Given::Text(text) = value else { return None };
                out.null = text.as_bytes().to_vec();
            }
            "quote" => out.quote = value.byte()?,
            "escape" => escape = Some(value.byte()?),
            "header" if matches!(value, Given::Text(word) if word.eq_ignore_ascii_case("match")) => {
                out.header = true;
            }
            "header" => out.header = value.truth()?,
            "encoding" => {
                // Bytes of other encodings may look like delimiters.
                let Given::Text(name) = value else { return None };
                let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode" | "sqlascii")
                    .then_some(())?;
            }
            _ => return None,
        }
    }
    out.escape = escape.unwrap_or(out.quote);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_all_spellings() {
        let of = |text: &str| copy_options(text.as_bytes());
        let text = of("copy t to stdout").unwrap();
        assert_eq!((text.form, text.delimiter, text.null.as_slice()), (CopyForm::Text, b'\t', &b"\\N"[..]));
        assert_eq!(of("COPY (select 1) TO STDOUT BINARY").unwrap().form, CopyForm::Binary);
        assert_eq!(of("copy binary t to stdout").unwrap().form, CopyForm::Binary);
        let csv = of("copy t to stdout with csv header delimiter ';' quote '''' null 'x'").unwrap();
        assert_eq!((csv.form, csv.header, csv.delimiter), (CopyForm::Csv, true, b';'));
        assert_eq!((csv.quote, csv.escape, csv.null.as_slice()), (b'\'', b'\'', &b"x"[..]));
        let csv =
            of("copy t to stdout (format csv, header off, force_quote *, escape '\\', encoding 'UTF-8')");
        assert_eq!(csv.map(|c| (c.header, c.escape)), Some((false, b'\\')));
        let inward = of("copy s.t (a, b) from stdin csv").unwrap();
        assert_eq!((inward.form, inward.into.is_some()), (CopyForm::Csv, true));
        for other in [
            "copy t from '/tmp/x'",
            "copy t to '/tmp/x'",
            "copy t to program 'cat'",
            "select 1",
            "copy t to stdout (format parquet)",
            "copy t to stdout (encoding 'sjis')",
            "copy t to stdout; select 1",
            "copy",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
