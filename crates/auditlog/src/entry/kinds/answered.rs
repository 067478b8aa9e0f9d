//! Fields of what people say of an approval or a grant.

use super::field::Form::{Number, Text};
use super::parts::{BY, CHAIN, METHOD_BY, PROTO_BY, TLS_BY};
use super::{Field, field};

pub(super) const APPROVAL: Field = field("approval", Text, "The approval's id.");
pub(super) const CMD_ASKED: Field = field("cmd", Number, "The command that asked first.");
pub(super) const SID_ASKED: Field = field("sid", Text, "The session that asked first.");
pub(super) const QUORUM: Field = field("quorum", Number, "People whose approval it needs, over all groups.");
pub(super) const RULE_HELD: Field = field("rule", Text, "The rule that holds the command.");
pub(super) const REASON_BY: Field = field("reason", Text, "What they said.");
pub(super) const ANSWERED: &[Field] = &[
    APPROVAL,
    BY,
    CHAIN,
    CMD_ASKED,
    field("given", Number, "People who have approved it by now."),
    METHOD_BY,
    PROTO_BY,
    QUORUM,
    RULE_HELD,
    SID_ASKED,
    TLS_BY,
];

/// The same, and whether it is signed.
pub(super) const YES: &[Field] = &[
    APPROVAL,
    BY,
    CHAIN,
    CMD_ASKED,
    field("given", Number, "People who have approved it by now."),
    METHOD_BY,
    PROTO_BY,
    QUORUM,
    RULE_HELD,
    SID_ASKED,
    field(
        "signed",
        Text,
        "They have signed it with a key of their own: its kind, as it names itself. Absent: they have not.",
    ),
    TLS_BY,
];
