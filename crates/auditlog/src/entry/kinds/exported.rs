//! The kind of the entries about an export of evidence.

use super::field::Form::{Number, Text, Texts, True};
use super::parts::{BY, BY_NAME, CUT};
use super::{Field, Kind, apart, detail, facts, field, long_facts};

const FACTS: &[Field] = &[
    field("bytes", Number, "Length of the file."),
    field("command", Text, "The command: `evidence export`."),
    field("disclosed", Number, "Payloads that are shown in it."),
    field("done", True, "It is written; absent: it is about to be."),
    field("entries", Number, "Leaves in it, whoever's."),
    field("erased", Number, "Payloads of the scope whose keys are gone."),
    field("from", Text, "The beginning of its range; absent: that of the log."),
    field("ids", Texts, "Pseudonyms of whose payloads are shown; absent: everybody's."),
    field("payloads", True, "Payloads are shown; absent: all are withheld."),
    field("scoped", Number, "Entries in scope."),
    field("sha256", Text, "SHA-256 of the file, in hexadecimal."),
    field("target", Text, "The target; absent: all."),
    field("to", Text, "The end of its range, itself not in it."),
    field("withheld", Number, "Payloads of the scope that are not shown."),
];

const DETAIL: &[Field] =
    &[field("file", Text, "The file."), field("name", Text, "Who was asked for, by name.")];

/// On the gateway's own machine alone, so nobody comes with an address.
pub(super) const KIND: Kind = apart(
    "record.exported",
    "Evidence was exported (`firsthand evidence export`): one before anything is written, with what was asked for, and one with `done` once \
         the file has its name.",
    &[BY, facts(FACTS)],
    &[BY_NAME, CUT, detail(DETAIL), long_facts(FACTS)],
);
