//! The columns of a result: what the record says of them, and how their values are read.

use firsthand_model::json::{self, Object};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::RowDescription;
use firsthand_wire::postgres::value::{Renderer, type_name};

#[derive(Debug)]
struct Column {
    name: Box<[u8]>,
    type_oid: u32,
    format: Format,
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
            .map(|c| Column { name: c.name.into(), type_oid: c.type_oid, format: c.format })
            .collect();
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
        Self::new(
            columns
                .map(|(i, c)| Column { name: c.name.clone(), type_oid: c.type_oid, format: format(i) })
                .collect(),
        )
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
