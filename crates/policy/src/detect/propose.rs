//! Proposes labels for columns from their names, types and some of their values, for somebody to review.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Detector, Topic, TypeHint, label};

/// A column with some of its values.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Sampled {
    /// The schema.
    #[serde(default)]
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type's name.
    #[serde(default, rename = "type")]
    pub type_name: String,
    /// Some of its values: texts, numbers, booleans. NULLs say nothing.
    #[serde(default, deserialize_with = "texts")]
    pub values: Vec<String>,
}

/// Values as PostgreSQL's `json_agg` writes them, each as the text that the column shows.
fn texts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    use serde::Deserialize as _;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(Vec::<serde_json::Value>::deserialize(from)?.into_iter().filter_map(text).collect())
}

/// What a column seems to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// `schema.table.column`.
    pub column: String,
    /// The label.
    pub label: String,
    /// Values in which it was found.
    pub found: usize,
    /// Values looked at.
    pub of: usize,
    /// Whether only the name says so, because there were no values.
    pub by_name: bool,
}

/// The part of the values that must carry a label for it to be proposed: fewer are strays, for value detection.
const SHARE: f32 = 0.2;

/// The proposal for a column, if there is one.
pub fn propose(detector: &Detector, sampled: &Sampled) -> Option<Proposal> {
    let hint = TypeHint::of_type(&sampled.type_name);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut hits = Vec::new();
    for value in &sampled.values {
        hits.clear();
        detector.scan(value, &sampled.column, hint, &mut hits);
        hits.sort_by_key(|h| h.label);
        hits.dedup_by_key(|h| h.label);
        for hit in &hits {
            *counts.entry(hit.label).or_default() += 1;
        }
    }
    let of = sampled.values.len();
    let name = [sampled.schema.as_str(), &sampled.table, &sampled.column]
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join(".");
    let best = counts.into_iter().max_by_key(|(_, n)| *n).filter(|(_, n)| *n as f32 >= SHARE * of as f32);
    match best {
        Some((label, found)) => {
            Some(Proposal { column: name, label: label.to_owned(), found, of, by_name: false })
        }
        None if of == 0 => {
            let label = by_name(Topic::of_column(&sampled.column)).filter(|_| hint != TypeHint::Nothing)?;
            Some(Proposal { column: name, label: label.to_owned(), found: 0, of, by_name: true })
        }
        None => None,
    }
}

/// The label that a name alone asks for.
fn by_name(topic: Topic) -> Option<&'static str> {
    Some(match topic {
        Topic::Unknown | Topic::Ordinary | Topic::Worded | Topic::Version | Topic::Name | Topic::Party => {
            return None;
        }
        Topic::Email => label::EMAIL,
        Topic::Phone => label::PHONE,
        Topic::Card => label::CARD,
        Topic::CardCode => label::CARD_CODE,
        Topic::Iban => label::IBAN,
        Topic::Bic => label::BIC,
        Topic::Account => label::ACCOUNT,
        Topic::NationalId(_) => label::NATIONAL_ID,
        Topic::TaxId(_) => label::TAX_ID,
        Topic::Passport => label::PASSPORT,
        Topic::Licence => label::LICENCE,
        Topic::Birth => label::BIRTH,
        Topic::Person => label::PERSON,
        Topic::Address => label::ADDRESS,
        Topic::Postcode => label::POSTCODE,
        Topic::Geo => label::GEO,
        Topic::Password => label::PASSWORD,
        Topic::Secret => label::SECRET,
        Topic::Ip => label::IP,
        Topic::Mac => label::MAC,
        Topic::Device => label::DEVICE,
        Topic::Vin => label::VIN,
        Topic::Plate => label::PLATE,
        Topic::Wallet => label::WALLET,
        Topic::Health(_) => label::HEALTH,
    })
}

/// Proposals as the rules' own `[[label]]` tables, one for each label, to be reviewed and put beside the rules.
pub fn to_toml(proposals: &[Proposal]) -> String {
    let mut by_label: BTreeMap<&str, Vec<&Proposal>> = BTreeMap::new();
    for proposal in proposals {
        by_label.entry(&proposal.label).or_default().push(proposal);
    }
    let mut out = String::from("# Proposed labels: review each line, then keep this with the rules.\n");
    for (label, columns) in by_label {
        let _ = write!(out, "\n[[label]]\nlabel = {}\ncolumns = [\n", toml::Value::from(label));
        for p in columns {
            let why =
                if p.by_name { "by its name".to_owned() } else { format!("{} of {} values", p.found, p.of) };
            let _ = writeln!(out, "    {}, # {why}", toml::Value::from(p.column.as_str()));
        }
        out.push_str("]\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_proposed_by_values_and_without_any_by_name() {
        let column = |column: &str, type_name: &str, values: &[&str]| Sampled {
            schema: "public".to_owned(),
            table: "people".to_owned(),
            column: column.to_owned(),
            type_name: type_name.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let sampled = [
            column("contact", "text", &["a@example.org", "b@example.org", "n/a"]),
            column("iban", "text", &[]),
            column("email_verified", "boolean", &["t", "f"]),
            column("status", "text", &["open", "closed"]),
        ];
        let detector = Detector::new();
        let proposals: Vec<Proposal> = sampled.iter().filter_map(|s| propose(&detector, s)).collect();
        let text = to_toml(&proposals);
        let read: toml::Table = toml::from_str(&text).unwrap();
        let want: toml::Table = toml::from_str(
            "[[label]]\nlabel = \"email\"\ncolumns = [\"public.people.contact\"]\n\
             [[label]]\nlabel = \"iban\"\ncolumns = [\"public.people.iban\"]\n",
        )
        .unwrap();
        assert_eq!(read, want, "{text}");
    }
}
