//! `[[exchange]]`: which agents may have tokens for which people, where the people's own tokens do not say so.

use firsthand_adapters::identity::exchange::Rule;
use firsthand_adapters::identity::issuer::spec::IssuerSpec;

use super::keys::{Form, Key};
use super::section::Section;

/// The section.
pub(super) const SECTION: (&str, &str) = (
    "exchange",
    "`[[exchange]]`: which agents may get tokens for which people, by the tokens of both (see identity.md). Where a person's token has \
     `may_act`, that alone decides; otherwise one of these tables must fit, and without any nobody is acted for.",
);

/// At the top.
pub(super) const TABLES: Key = Key {
    section: "",
    name: "exchange",
    form: Form::Tables("exchange"),
    default: "none",
    about: "Which agents may get tokens for which people.",
};
/// In the section.
pub(super) const AGENTS: Key = Key {
    section: "exchange",
    name: "agents",
    form: Form::Texts,
    default: "",
    about: "Who acts: names of agents and services, as in the record; `*` stands for any number of characters.",
};
/// In the section.
pub(super) const PEOPLE: Key = Key {
    section: "exchange",
    name: "for",
    form: Form::Texts,
    default: "whoever is in `groups`",
    about: "For whom: names of people, as in the record, in the same form.",
};
/// In the section.
pub(super) const GROUPS: Key = Key {
    section: "exchange",
    name: "groups",
    form: Form::Texts,
    default: "all of `for`",
    about: "Only for people in one of these groups of an issuer: `ISSUER/GROUP`.",
};

/// Reads all of them.
pub(super) fn read(top: &Section<'_>, issuers: &[IssuerSpec]) -> Vec<Rule> {
    top.tables("exchange", "exchange").iter().map(|section| read_rule(section, issuers)).collect()
}

fn read_rule(section: &Section<'_>, issuers: &[IssuerSpec]) -> Rule {
    let rule = Rule {
        agents: texts(section, "agents"),
        people: texts(section, "for"),
        groups: texts(section, "groups"),
    };
    for group in &rule.groups {
        let issuer = group.split_once('/').map_or("", |(issuer, _)| issuer);
        if !issuer.contains('*') && issuers.iter().all(|known| known.name != issuer) {
            let what = format!(
                "exchange: nobody is in `{group}`: groups are `ISSUER/GROUP`, and no [[issuer]] has the name `{issuer}`"
            );
            section.warn(section.span_of("groups").as_ref(), what);
        }
    }
    if rule.agents.is_empty() && section.span_of("agents").is_none() {
        section.missing("agents");
    }
    if rule.people.is_empty() && rule.groups.is_empty() && section.span_of("for").is_none() {
        section.bad(&section.span, "for", "it names no people", "add `for = […]`, or `groups = […]`");
    }
    rule
}

/// A list that has something in it, and nothing empty.
fn texts(section: &Section<'_>, key: &str) -> Vec<String> {
    let texts = section.texts(key);
    if let Some(at) = section.span_of(key)
        && (texts.is_empty() || texts.iter().any(String::is_empty))
    {
        section.bad(&at, key, "names nobody", "write names, or patterns such as `corp/*`");
    }
    texts
}
