//! The one list of kinds and their fields. `docs/record.md` is made from it, and every key in the golden files must stand
//! here.

use firsthand_model::event::AdmissionRefused;

/// A field of a leaf or a payload.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What stands there: `text`, `number`, `list`, `object`, `true`, …
    pub form: &'static str,
    /// What it means.
    pub means: &'static str,
}

/// A kind of entry.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The value of `k`.
    pub name: &'static str,
    /// What it says.
    pub means: &'static str,
    /// Whether it carries the session's fields (`sid`, `who`, `dur`, `mode`).
    pub of_session: bool,
    /// Fields of its leaf beyond the common ones.
    pub leaf: &'static [Field],
    /// Fields of its payload.
    pub payload: &'static [Field],
}

const fn field(key: &'static str, form: &'static str, means: &'static str) -> Field {
    Field { key, form, means }
}

/// Fields of every leaf.
pub const COMMON: &[Field] = &[
    field("k", "text", "The kind."),
    field("mono", "number", "Microseconds since this writer started, by a clock that never goes back."),
    field("n", "number", "Position in the log, from 0, without gaps."),
    field(
        "pay",
        "object",
        "The payload's commitment, where there is a payload: `h` SHA-256(\"firsthand/payload/v1\" ‖ 0x00 ‖ salt ‖ \
         payload) in base64, `len` its bytes, `key` the subject whose key seals it (absent: the first link of \
         `who.chain`), `month` the \
         month of that key (absent: the month of `t`), `run` the writer's run, where keys are derived from it instead of \
         the session.",
    ),
    field("t", "time", "Wall clock, RFC 3339, UTC, microseconds."),
    field("v", "number", "Version of this format: 1."),
];

/// Fields of every entry of a session.
pub const SESSION: &[Field] = &[
    field("dur", "text", "`relaxed` where nothing waited for this entry to be durable; absent: strict."),
    field("mode", "text", "`observe` where refusals were not enforced; absent: enforced."),
    field("sid", "text", "The session: a UUID version 7."),
    field(
        "who",
        "object",
        "Who and where, as in force at this entry: `agent` the id that acts (agent, service, or the human alone), `chain` \
         the identity chain from the outside in (`id`, `kind`, `trust`: verified, bound or claimed), `db` database, `pid` the \
         target's process, `role` in force, `srole` the role that authenticated where it differs, `target`, `tok` the token's \
         id. Absent when the gateway that knew it was gone (entries written after a crash).",
    ),
];

const COUNT: Field = field(
    "count",
    "number",
    "How many connections this entry stands for; absent: one. Those that gave way while too many were half open are told together.",
);
const CMD: Field = field("cmd", "number", "The command's number in its session, from 1.");
const INTENT: Field = field("intent", "number", "Position of the command's `command.decided`.");
const COVERAGE: Field =
    field("coverage", "list of text", "What could not be observed; absent: nothing is known to be missing.");
const METHOD: Field =
    field("method", "text", "How the proof was given: `scram-sha-256`, `scram-sha-256-plus`, `clear-text`.");
const PROTO: Field = field("proto", "text", "Protocol and version.");
const TLS: Field = field("tls", "text", "TLS version of the client's connection; absent: clear text.");
const ADDRESS: Field = field("address", "text", "The client's address and port.");
const LOGIN: Field = field("login", "text", "The login name presented.");
const CUT: Field = field("cut", "list of text", "Fields that were too long and are missing or cut.");
const COLUMNS: Field = field("columns", "list", "The columns, as the dialect describes them.");
const ROWS: Field =
    field("rows", "list", "Rows as the client got them: a list of values each, or text for copied data.");
const BY: Field = field("by", "object", "Who did it: `id`, `kind`, `trust`.");
const BY_NAME: Field = field("by", "text", "The name behind `by`.");
const FACTS: Field = field("facts", "object", "What was done, without personal data.");
const DETAIL: Field = field("detail", "object", "The rest of what was done.");
const LONG_FACTS: Field = field("facts", "object", "The facts, where they were too long for the leaf.");
const WHY_REFUSED: Field = field(
    "why",
    "text",
    "`proof`, `unknown`, `revoked`, `expired`, `target`, `rate`, `limit`, `unobserved`, `unreachable`, `credential`.",
);
const DETAIL_REFUSED: Field = field("detail", "text", "More of why; never a credential.");
const TARGET_ASKED: Field = field("target", "text", "The target asked for.");
const LOG_FACTS: Field = field("facts", "object", "What the log says of itself.");
const FACTS_CUT: Field = field("facts_cut", "true", "The facts were too long for a leaf and are missing.");

const fn administered(name: &'static str, means: &'static str) -> Kind {
    Kind { name, means, of_session: false, leaf: &[BY, FACTS], payload: &[BY_NAME, CUT, DETAIL, LONG_FACTS] }
}

const fn log(name: &'static str, means: &'static str) -> Kind {
    Kind { name, means, of_session: false, leaf: &[LOG_FACTS, FACTS_CUT], payload: &[] }
}

const fn refusal(name: &'static str, means: &'static str, leaf: &'static [Field]) -> Kind {
    Kind { name, means, of_session: false, leaf, payload: &[ADDRESS, DETAIL_REFUSED, LOGIN, TARGET_ASKED] }
}

/// `k` of a refused admission.
pub(crate) const fn of_refusal(e: &AdmissionRefused) -> &'static str {
    if e.identity { "identity.refused" } else { "session.refused" }
}

/// All kinds that today's gateway writes, by name.
pub const KINDS: &[Kind] = &[
    administered("admin.reloaded", "The configuration was read again."),
    administered("admin.session_killed", "An administrator ended a session."),
    Kind {
        name: "command.abandoned",
        means: "A permitted command will have no answer of the target.",
        of_session: true,
        leaf: &[
            CMD,
            field(
                "forwarded",
                "true or false",
                "Whether its bytes had gone to the target; absent: not known.",
            ),
            INTENT,
            field(
                "why",
                "text",
                "`skipped`, `refused-together`, `target-lost`, `client-left`, `drained`, `killed`, `crash`, `protocol`, `dropped`.",
            ),
        ],
        payload: &[],
    },
    Kind {
        name: "command.changed",
        means: "Rows that a command changed, as the target told: what it returned before the command's end. The outcome says whether \
                the command ended well; a later ROLLBACK undoes what it did.",
        of_session: true,
        leaf: &[
            field(
                "action",
                "text",
                "`insert`, `update`, `delete`; `upsert` for an INSERT that may have updated.",
            ),
            CMD,
            field("count", "number", "Rows changed in all, kept or not; in a command's last such entry."),
            COVERAGE,
            field("first", "number", "Number of its first row among those changed, from 0."),
            field(
                "how",
                "text",
                "How it was found out: `returning`, which the gateway added to the statement and took out of the answer.",
            ),
            field("rows", "number", "Rows in this entry."),
            field("table", "text", "The table, as `schema.name`, as the target resolved it."),
        ],
        payload: &[
            field(
                "columns",
                "list",
                "The columns (`name`, `type`, `key` true where it belongs to the key, `masked` the label where its values are).",
            ),
            CUT,
            field("new", "list", "The rows as they are now: a list of values each."),
            field(
                "old",
                "list",
                "The rows as they were: a list of values each; `null` for a row whose values were not read.",
            ),
        ],
    },
    Kind {
        name: "command.completed",
        means: "A command ran to its end: the outcome.",
        of_session: true,
        leaf: &[
            field("affected", "number", "Rows affected, where the target says."),
            field("bytes", "number", "Bytes of the row or copy messages delivered (copy in: taken)."),
            CMD,
            COVERAGE,
            INTENT,
            field("kept", "number", "Rows kept in the record."),
            field("rows", "number", "Rows delivered, kept or not."),
            field(
                "sqlstate",
                "text",
                "SQLSTATE of the error, or the protocol's own code; absent: it succeeded.",
            ),
            field(
                "suspended",
                "true",
                "The client asked for some rows only; the rest may follow in another command.",
            ),
            field("tag", "text", "The completion tag, where it is plain."),
            field("tx", "text", "State of the transaction after it: `idle`, `open`, `failed`."),
            field("tx_from", "text", "State of the transaction before it."),
            field("us", "number", "Microseconds from asked to ended."),
        ],
        payload: &[
            COLUMNS,
            CUT,
            field(
                "digest",
                "text",
                "SHA-256, in hexadecimal, of all row or copy messages delivered, in order.",
            ),
            field("error", "object", "The error as the client got it."),
            field("notices", "list", "Notices that came with it."),
            ROWS,
            field("tag", "text", "The completion tag, where it is not plain."),
        ],
    },
    Kind {
        name: "command.decided",
        means: "A command was asked and decided: the intent. It stands before anything of the command reaches the target.",
        of_session: true,
        leaf: &[
            field("approval", "text", "The approval that was spent."),
            field("bytes", "number", "Bytes of the text as asked."),
            CMD,
            COVERAGE,
            field(
                "effects",
                "list of text",
                "What it does, as far as known: `read`, `write`, `define`, `grant`, `execute`, `session`, `transaction`, `lock`, `system`, `unknown`.",
            ),
            field("policy", "text", "Version of the policy that decided."),
            field("read", "true", "Proven to read only; absent: it counts as able to change something."),
            field("rule", "text", "The rule that decided."),
            field("step", "text", "`run`, or `prepare` for a statement that was only prepared."),
            field("tables", "list of text", "Tables named in it, as written."),
            field("tables_more", "number", "Tables that did not fit in the list."),
            field("tag", "text", "The statement's kind as parsed."),
            field("tx", "text", "State of the transaction in which it was asked."),
            field("verdict", "text", "`allow`, `deny`, `hold`."),
            field("via", "text", "The protocol's way of asking: `simple`, `extended`, …"),
        ],
        payload: &[
            CUT,
            field("names", "object", "Names of the statement and portal in the protocol."),
            field("parameters", "list", "Typed parameters, as the dialect describes them."),
            field("reason", "text", "The operator's sentence of a refusal."),
            field("text", "text", "The text, secrets replaced."),
            field(
                "text_digest",
                "text",
                "SHA-256, in hexadecimal, of the text as asked, where `text` differs from it.",
            ),
        ],
    },
    Kind {
        name: "command.rows",
        means: "A piece of the rows, as the client got them, of a result too large for `command.completed`.",
        of_session: true,
        leaf: &[
            CMD,
            field("first", "number", "Number of its first row in the result, from 0."),
            field("rows", "number", "Rows in this piece."),
        ],
        payload: &[COLUMNS, CUT, ROWS],
    },
    refusal(
        "identity.refused",
        "Somebody was not let in: the proof failed.",
        &[METHOD, PROTO, TLS, WHY_REFUSED],
    ),
    administered("identity.token_created", "A token was made."),
    administered("identity.token_revoked", "A token was revoked."),
    log("log.clock", "The wall clock jumped."),
    administered("log.gap", "An operator declared that entries are missing; a new epoch begins."),
    log("log.heartbeat", "Nothing happened for a while, and the log was alive."),
    Kind {
        name: "log.oversize",
        means: "In this place should stand an entry that was too large to be recorded; the limits of entries forbid it.",
        of_session: false,
        leaf: &[field("sid", "text", "The session it belonged to.")],
        payload: &[],
    },
    log(
        "log.recovered",
        "After a stop without a word: what was found at the end of the log, and what was cut.",
    ),
    log("log.sealed", "A segment is complete: its root and size."),
    log("log.started", "A writer opened the log."),
    log("log.stopped", "A writer closed the log in order."),
    administered("record.exported", "A part of the record was exported."),
    administered("record.read", "Somebody read the record."),
    Kind {
        name: "session.closed",
        means: "A session ended.",
        of_session: true,
        leaf: &[
            field("commands", "number", "Commands asked in it; absent after a crash."),
            field("us", "number", "Microseconds from opened to closed; absent after a crash."),
            field(
                "why",
                "text",
                "`client`, `target`, `killed`, `drained`, `idle`, `protocol`, `limit`, `record`, `crash`.",
            ),
        ],
        payload: &[field("detail", "text", "More of why.")],
    },
    Kind {
        name: "session.noted",
        means: "Something that belongs to no command.",
        of_session: true,
        leaf: &[field(
            "what",
            "text",
            "`asked` (by the gateway itself), `cancel`, `error` (belonging to no command), `notice`, `notification`, `parameter`, `refused`, \
             `role`, `unknown-message`.",
        )],
        payload: &[CUT, field("detail", "object", "What it says.")],
    },
    Kind {
        name: "session.opened",
        means: "A session began: somebody was admitted to a target.",
        of_session: true,
        leaf: &[COVERAGE, METHOD, PROTO, field("server", "text", "The target's version as it says."), TLS],
        payload: &[
            ADDRESS,
            field(
                "claims",
                "list",
                "What the client says of itself (`name`, `value`): claimed, never trusted.",
            ),
            CUT,
            LOGIN,
            field("names", "list", "The names behind the ids of the chain (`id`, `kind`, `name`)."),
            field("parameters", "object", "Startup parameters passed on."),
        ],
    },
    refusal(
        "session.refused",
        "Somebody got no session although no proof failed: who they are was proved, or not asked yet.",
        &[COUNT, METHOD, PROTO, TLS, WHY_REFUSED],
    ),
    Kind {
        name: "stream",
        means: "Progress of a long transfer.",
        of_session: true,
        leaf: &[
            field("bytes", "number", "Bytes so far."),
            CMD,
            field("rows", "number", "Rows or messages so far."),
        ],
        payload: &[],
    },
    log(
        "target.asked",
        "The gateway itself asked a target what a database defines; its questions are always the same.",
    ),
];

/// Kinds whose names are taken for what later versions will write.
pub const RESERVED: &[&str] = &[
    "approval.asked",
    "approval.expired",
    "approval.given",
    "approval.refused",
    "approval.spent",
    "grant.*",
    "log.erased",
    "log.key",
    "log.pruned",
];

/// The kind of this name, if it is known.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_once_and_in_order() {
        assert!(KINDS.is_sorted_by(|a, b| a.name < b.name));
        for kind in KINDS {
            for fields in [kind.leaf, kind.payload] {
                assert!(fields.is_sorted_by(|a, b| a.key < b.key), "{}", kind.name);
            }
        }
    }
}
