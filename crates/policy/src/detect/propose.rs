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
    /// Some of its values; NULLs left out.
    #[serde(default)]
    pub values: Vec<String>,
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
        Topic::Unknown | Topic::Ordinary | Topic::Name => return None,
        Topic::Email => label::EMAIL,
        Topic::Phone => label::PHONE,
        Topic::Card => label::CARD,
        Topic::CardCode => label::CARD_CODE,
        Topic::Iban => label::IBAN,
        Topic::Bic => label::BIC,
        Topic::Account => label::ACCOUNT,
        Topic::NationalId => label::NATIONAL_ID,
        Topic::TaxId => label::TAX_ID,
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
        Topic::Health => label::HEALTH,
    })
}

/// Proposals as TOML, to be reviewed and put into the policy.
pub fn to_toml(proposals: &[Proposal]) -> String {
    let mut out = String::from("# Proposed labels: review each, then keep this in the policy.\n");
    for p in proposals {
        let why =
            if p.by_name { "by its name".to_owned() } else { format!("{} of {} values", p.found, p.of) };
        let _ = write!(
            out,
            "\n[[label]] # {why}\ncolumn = {}\nlabel = {}\n",
            toml::Value::from(p.column.as_str()),
            toml::Value::from(p.label.as_str())
        );
    }
    out
}
