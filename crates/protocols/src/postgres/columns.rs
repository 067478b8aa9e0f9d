//! The columns of a result: what the record says of them, and how their values are read.

use std::sync::Arc;

use firsthand_model::json::{self, Object};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::RowDescription;
use firsthand_wire::postgres::value::{Renderer, type_name};

/// A column of a result.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Box<[u8]>,
    /// The table it comes from, and its number there; 0: it is not simply a table's column.
    pub(super) table: u32,
    pub(super) number: i16,
    pub(super) type_oid: u32,
    pub(super) modifier: i32,
    pub(super) format: Format,
    /// The rule by which its values were masked.
    rule: Option<Arc<str>>,
}

/// The columns of a result.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Box<[Column]>,
    renderers: Box<[Renderer]>,
    json: Box<[u8]>,
}

impl Columns {
    /// From the target's description.
    pub(super) fn of(description: &RowDescription<'_>) -> Self {
        let columns = description
            .columns()
            .map(|c| Column {
                name: c.name.into(),
                table: c.table,
                number: c.number,
                type_oid: c.type_oid,
                modifier: c.type_modifier,
                format: c.format,
                rule: None,
            })
            .collect();
        Self::new(columns)
    }

    /// Of COPY data or a function's result: of their types nothing is told.
    pub(super) fn untold<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let column = |name: &str| Column {
            name: name.as_bytes().into(),
            table: 0,
            number: 0,
            type_oid: 0,
            modifier: -1,
            format: Format::Text,
            rule: None,
        };
        Self::new(names.map(column).collect())
    }

    /// The columns in order.
    pub(super) fn all(&self) -> &[Column] {
        &self.columns
    }

    /// The same columns, masked by these rules; a rule that a column has stays.
    pub(super) fn with_masks(&self, rules: &[Option<Arc<str>>]) -> Self {
        let mut columns = self.columns.clone();
        for (column, rule) in columns.iter_mut().zip(rules) {
            if column.rule.is_none() {
                column.rule.clone_from(rule);
            }
        }
        Self::new(columns)
    }

    fn new(columns: Box<[Column]>) -> Self {
        let renderers = columns.iter().map(|c| Renderer::new(c.type_oid, c.format)).collect();
        let mut json = Vec::with_capacity(columns.len() * 40 + 2);
        json.push(b'[');
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                json.push(b',');
            }
            column.write(&mut json);
        }
        json.push(b']');
        Self { columns, renderers, json: json.into() }
    }

    /// The same columns in the formats that a Bind asked for.
    pub(super) fn in_formats(&self, formats: &[Format]) -> Self {
        let format = |i: usize| match formats {
            [one] => *one,
            many => many.get(i).copied().unwrap_or_default(),
        };
        let columns = self.columns.iter().enumerate();
        Self::new(columns.map(|(i, c)| Column { format: format(i), ..c.clone() }).collect())
    }

    /// How the value of column number `index` is read.
    pub(super) fn renderer(&self, index: usize) -> Option<&Renderer> {
        self.renderers.get(index)
    }

    /// Bytes it takes.
    pub(super) fn kept_bytes(&self) -> usize {
        let names: usize = self.columns.iter().map(|c| c.name.len()).sum();
        size_of_val(&*self.columns) + size_of_val(&*self.renderers) + self.json.len() + names
    }

    /// The JSON array for the record.
    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }
}

impl Column {
    fn write(&self, out: &mut Vec<u8>) {
        let mut o = Object::open(out);
        if self.format == Format::Binary {
            o.string("format", "binary");
        }
        if let Some(rule) = &self.rule {
            o.string("masked", rule);
        }
        json::write_lossy(o.key("name"), &self.name);
        write_type(o.key("type"), self.type_oid);
        o.close();
    }
}

/// Appends the name of a type, or its oid where it is not built in.
pub(super) fn write_type(out: &mut Vec<u8>, oid: u32) {
    match type_name(oid) {
        Some(name) => json::write_string(out, name),
        None => json::write_u64(out, u64::from(oid)),
    }
}
