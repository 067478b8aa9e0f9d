//! The one list of kinds and their fields. `docs/record.md` is made from it, and every key in the golden files must stand
//! here.

use firsthand_model::event::AdmissionRefused;

mod answered;
mod exported;
mod field;
mod parts;

pub use field::{Field, Form, undocumented};

use Form::{Bool, Number, Object, Objects, Rows, Text, Texts, Time, True};
use answered::{ANSWERED, APPROVAL, CMD_ASKED, QUORUM, REASON_BY, RULE_HELD, SID_ASKED, YES};
use parts::{
    ADDRESS, ADDRESS_BY, BY, BY_NAME, BY_REFUSED, CHAIN, CHAIN_REFUSED, CLAIMS, CMD, COLUMNS, COUNT,
    COVERAGE, CUT, DETAIL_REFUSED, ERROR, FACTS_CUT, INTENT, LINK_NAMES, LOGIN, METHOD, METHOD_BY, NAMES,
    NAMES_BY, NOTED_DETAIL, NOTICES, PARAMETERS, PASSED_ON, PROTO, PROTO_BY, ROWS, TARGET_ASKED, TLS, TLS_BY,
    WHY_REFUSED,
};

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

const fn field(key: &'static str, form: Form, means: &'static str) -> Field {
    Field { key, form, means }
}

/// Fields of every leaf.
pub const COMMON: &[Field] = &[
    field("k", Text, "The kind."),
    field("mono", Number, "Microseconds since this writer started, by a clock that never goes back."),
    field("n", Number, "Position in the log, from 0, without gaps."),
    field("pay", Object(parts::PAY), "The payload's commitment, where there is a payload."),
    field("t", Time, "Wall clock, RFC 3339, UTC, microseconds."),
    field("v", Number, "Version of this format: 1."),
];

/// Fields of every entry of a session.
pub const SESSION: &[Field] = &[
    field("dur", Text, "`relaxed` where nothing waited for this entry to be durable; absent: strict."),
    field("mode", Text, "`observe` where refusals were not enforced; absent: enforced."),
    field("sid", Text, "The session: a UUID version 7."),
    field(
        "who",
        Object(parts::WHO),
        "Who and where, as in force at this entry. Absent when the gateway that knew it was gone (entries written after a \
         crash).",
    ),
];

/// Facts of an administrative act stand in the leaf, or in the payload where they are too long for it.
const fn facts(parts: &'static [Field]) -> Field {
    field("facts", Object(parts), "What was done, without personal data.")
}

const fn long_facts(parts: &'static [Field]) -> Field {
    field("facts", Object(parts), "The same, where it was too long for the leaf.")
}

const fn detail(parts: &'static [Field]) -> Field {
    field("detail", Object(parts), "The rest of what was done.")
}

const fn of_log(parts: &'static [Field]) -> Field {
    field("facts", Object(parts), "What the log says of itself.")
}

/// A kind of entry that belongs to no session: what administrators did, and who was refused.
const fn apart(
    name: &'static str,
    means: &'static str,
    leaf: &'static [Field],
    payload: &'static [Field],
) -> Kind {
    Kind { name, means, of_session: false, leaf, payload }
}

const fn log(name: &'static str, means: &'static str, leaf: &'static [Field]) -> Kind {
    Kind { name, means, of_session: false, leaf, payload: &[] }
}

/// `k` of a refused admission.
pub(crate) const fn of_refusal(e: &AdmissionRefused) -> &'static str {
    if e.identity { "identity.refused" } else { "session.refused" }
}

/// What entries about a certificate say: in the leaf, and sealed.
const OF_CERTIFICATE: (&[Field], &[Field]) = (
    &[BY, CHAIN, facts(parts::CERTIFICATE_FACTS), METHOD_BY, PROTO_BY, TLS_BY],
    &[
        ADDRESS_BY,
        BY_NAME,
        CUT,
        detail(parts::CERTIFICATE_DETAIL),
        long_facts(parts::CERTIFICATE_FACTS),
        NAMES_BY,
    ],
);

/// All kinds that today's gateway writes, by name.
pub const KINDS: &[Kind] = &[
    apart(
        "admin.approval_differs",
        "An approval or a grant in the state was not as the record says, found when a gateway started or when it was about to be answered or spent.",
        &[BY, facts(parts::APPROVAL_DIFFERS)],
        &[BY_NAME, CUT, long_facts(parts::APPROVAL_DIFFERS)],
    ),
    apart(
        "admin.ca_made",
        "The gateway's own authority for client certificates was made (`firsthand ca init`).",
        &[BY, CHAIN, facts(parts::CA_MADE), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::CA_DETAIL), long_facts(parts::CA_MADE), NAMES_BY],
    ),
    apart(
        "admin.certificate_failed",
        "What an entry before it says of this certificate was not done, or not for long: a file could not be written.",
        OF_CERTIFICATE.0,
        OF_CERTIFICATE.1,
    ),
    apart(
        "admin.certificate_issued",
        "The gateway's own authority issued a client certificate.",
        OF_CERTIFICATE.0,
        OF_CERTIFICATE.1,
    ),
    apart(
        "admin.certificate_revoked",
        "A certificate of the gateway's own authority was put on its revocation list.",
        OF_CERTIFICATE.0,
        OF_CERTIFICATE.1,
    ),
    apart(
        "admin.channel_failed",
        "What a channel was to be told of an approval did not arrive, or was not sent: it was tried as often as it is, or too much waited.",
        &[BY, facts(parts::CHANNEL_UNTOLD)],
        &[BY_NAME, CUT, detail(parts::CHANNEL_FAILED), long_facts(parts::CHANNEL_UNTOLD)],
    ),
    apart(
        "admin.channel_refused",
        "An answer came over a channel, signed as it must be, and did not count. What is not signed is an `identity.refused`.",
        &[BY, CHAIN, facts(parts::CHANNEL_REFUSED), METHOD_BY, PROTO_BY, TLS_BY],
        &[
            ADDRESS_BY,
            BY_NAME,
            CUT,
            detail(parts::CHANNEL_ANSWER),
            long_facts(parts::CHANNEL_REFUSED),
            NAMES_BY,
        ],
    ),
    apart(
        "admin.channel_sent",
        "A channel was told of an approval: what was said of it has left the gateway, masked as the record has it, or without any text.",
        &[BY, facts(parts::CHANNEL_SENT)],
        &[BY_NAME, CUT, long_facts(parts::CHANNEL_SENT)],
    ),
    apart(
        "admin.contain_differs",
        "When a gateway started, what is contained was not in its file as the record says.",
        &[BY, facts(parts::CONTAIN_DIFFERS)],
        &[BY_NAME, CUT, long_facts(parts::CONTAIN_DIFFERS)],
    ),
    apart(
        "admin.contain_lifted",
        "A containment was lifted.",
        &[BY, CHAIN, facts(parts::CONTAIN_LIFTED), METHOD_BY, PROTO_BY, TLS_BY],
        &[
            ADDRESS_BY,
            BY_NAME,
            CUT,
            detail(parts::CONTAINED_DETAIL),
            long_facts(parts::CONTAIN_LIFTED),
            NAMES_BY,
        ],
    ),
    apart(
        "admin.contained",
        "An administrator contained an identity, a target or a session: its sessions end, its tokens are revoked, new sessions are refused, \
         and its evidence is held. What follows from it has its own entries: `session.closed` (`contained`), `identity.token_revoked`, \
         `approval.withdrawn`, `grant.revoked`.",
        &[BY, CHAIN, facts(parts::CONTAINED), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::CONTAINED_DETAIL), long_facts(parts::CONTAINED), NAMES_BY],
    ),
    apart(
        "admin.reloaded",
        "The configuration was read again.",
        &[BY, facts(parts::RELOADED)],
        &[BY_NAME, CUT, detail(parts::RELOADED_DETAIL), long_facts(parts::RELOADED)],
    ),
    apart(
        "admin.session_killed",
        "An administrator ended a session.",
        &[BY, CHAIN, facts(parts::KILLED), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, long_facts(parts::KILLED), NAMES_BY],
    ),
    apart(
        "admin.target_asked",
        "Somebody has the command line ask a target, with the gateway's credential: `check`, or a command about policy that needs to \
         know what a database defines.",
        &[BY, facts(parts::ASKED_BY_HAND)],
        &[BY_NAME, CUT, long_facts(parts::ASKED_BY_HAND)],
    ),
    apart(
        "approval.answer_refused",
        "Somebody answered an approval or a grant, and it did not count. Of one identity at most 20 a minute are told; the rest is counted in the \
         next one.",
        &[BY, CHAIN, facts(parts::ANSWER_REFUSED), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, long_facts(parts::ANSWER_REFUSED), NAMES_BY],
    ),
    Kind {
        name: "approval.asked",
        means: "A held command waits for people. The same command that comes again, in whatever session of the same identity, asks \
                nothing new while this is open.",
        of_session: true,
        leaf: &[
            APPROVAL,
            CMD,
            field("digest", Text, "What it is bound to: a keyed digest."),
            QUORUM,
            RULE_HELD,
        ],
        payload: &[
            CUT,
            PARAMETERS,
            field("reason", Text, "The operator's sentence of the rule."),
            field("text", Text, "The text, secrets replaced."),
        ],
    },
    apart(
        "approval.expired",
        "Nobody answered in time, or what was given was not spent in time.",
        &[APPROVAL, CMD_ASKED, QUORUM, RULE_HELD, SID_ASKED],
        &[],
    ),
    apart(
        "approval.given",
        "A person approved it. It can be spent once as many have as it needs.",
        YES,
        &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY, parts::SIGNATURE],
    ),
    apart(
        "approval.glass_broken",
        "Break-glass: a person whom the rule lets do so released it alone, without others and also where it was asked in their own name. It \
         can be spent once.",
        YES,
        &[
            ADDRESS_BY,
            BY_NAME,
            NAMES_BY,
            field("reason", Text, "Why; there is always one."),
            parts::SIGNATURE,
        ],
    ),
    Kind {
        name: "approval.previewed",
        means: "What the held command would change was looked for, and those who are asked are shown this: the target has run it and taken \
                it back (`exact`), its planner was asked (`estimate`), or why nothing was tried (`none`).",
        of_session: true,
        leaf: &[APPROVAL, CMD, QUORUM, RULE_HELD],
        payload: &[CUT, field("preview", Object(parts::PREVIEW), "What it would change.")],
    },
    apart("approval.refused", "A person refused it.", ANSWERED, &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY]),
    Kind {
        name: "approval.spent",
        means: "An approval was used up by the command whose `command.decided` follows. Where none follows, it was spent in vain: \
                the command did not run.",
        of_session: true,
        leaf: &[APPROVAL, CMD, QUORUM, RULE_HELD],
        payload: &[],
    },
    Kind {
        name: "approval.withdrawn",
        means: "Nobody waits for it any more, and no client was told of it: its session was cancelled or ended. Without `who`, the \
                session that asked first was another one. Or an administrator has contained who asked, who approved it, its session or its \
                target (`by`), or it was signed by a key that is not configured any more (`reason`).",
        of_session: true,
        leaf: &[APPROVAL, BY, CHAIN, CMD_ASKED, METHOD_BY, PROTO_BY, QUORUM, RULE_HELD, TLS_BY],
        payload: &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY],
    },
    Kind {
        name: "command.abandoned",
        means: "A permitted command will have no answer of the target.",
        of_session: true,
        leaf: &[
            CMD,
            field("forwarded", Bool, "Whether its bytes had gone to the target; absent: not known."),
            INTENT,
            field(
                "why",
                Text,
                "`skipped`, `refused-together`, `overtaken`, `target-lost`, `client-left`, `drained`, `killed`, `contained`, `crash`, `protocol`, `not-recorded`, `session-ended`, `dropped`.",
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
                Text,
                "`insert`, `update`, `delete`; `upsert` for an INSERT that may have updated.",
            ),
            CMD,
            field("count", Number, "Rows changed in all, kept or not; in a command's last such entry."),
            COVERAGE,
            field("first", Number, "Number of its first row among those changed, from 0."),
            field(
                "how",
                Text,
                "How it was found out: `returning`, which the gateway added to the statement and took out of the answer; `counted`: \
                 the target's own counts, how many rows of the table changed while the command ran, whatever changed them.",
            ),
            field("rows", Number, "Rows in this entry."),
            field("table", Text, "The table, as `schema.name`, as the target resolved it."),
        ],
        payload: &[
            field("columns", Objects(parts::CHANGED_COLUMN), "The columns of the rows."),
            CUT,
            field("new", Rows, "The rows as they are now: a list of values each."),
            field(
                "old",
                Rows,
                "The rows as they were: a list of values each; `null` for a row whose values were not read.",
            ),
        ],
    },
    Kind {
        name: "command.completed",
        means: "A command ran to its end: the outcome.",
        of_session: true,
        leaf: &[
            field("affected", Number, "Rows affected, where the target says."),
            field("bytes", Number, "Bytes of the row or copy messages delivered (copy in: taken)."),
            field("cells", Number, "Labelled cells delivered, where a limit counts them."),
            CMD,
            COVERAGE,
            INTENT,
            field("kept", Number, "Rows kept in the record."),
            field("rows", Number, "Rows delivered, kept or not."),
            field(
                "sqlstate",
                Text,
                "SQLSTATE of the error, or the protocol's own code; absent: it succeeded.",
            ),
            field(
                "suspended",
                True,
                "The client asked for some rows only; the rest may follow in another command.",
            ),
            field("tag", Text, "The completion tag, where it is plain."),
            field("taken", True, "Copy in: the rows and bytes are those that the client gave."),
            field("tx", Text, "State of the transaction after it: `idle`, `open`, `failed`."),
            field("tx_from", Text, "State of the transaction before it."),
            field("us", Number, "Microseconds from asked to ended."),
        ],
        payload: &[
            COLUMNS,
            CUT,
            field(
                "digest",
                Text,
                "SHA-256, in hexadecimal, of all row or copy messages delivered, in order.",
            ),
            ERROR,
            NOTICES,
            ROWS,
            field("tag", Text, "The completion tag, where it is not plain."),
        ],
    },
    Kind {
        name: "command.decided",
        means: "A command was asked and decided: the intent. It stands before anything of the command reaches the target.",
        of_session: true,
        leaf: &[
            field("approval", Text, "The approval that was spent."),
            field("bytes", Number, "Bytes of the text as asked."),
            CMD,
            COVERAGE,
            field(
                "effects",
                Texts,
                "What it does, as far as known: `read`, `write`, `define`, `grant`, `execute`, `session`, `transaction`, `lock`, `system`, `unknown`.",
            ),
            field("estimated", Number, "Rows that the target estimated, where a rule counts them."),
            field("grant", Text, "The grant that covers it; absent: none does."),
            field("policy", Text, "Version of the policy that decided."),
            field("read", True, "Proven to read only; absent: it counts as able to change something."),
            field(
                "refused",
                True,
                "It was not run although `mode` is `observe`: nobody may run what its caller gave up.",
            ),
            field(
                "resolved",
                Texts,
                "What names in `tables` mean, as `schema.name`, where that is known (`[policy]`) and not what is written.",
            ),
            field("rule", Text, "The rule that decided."),
            field("step", Text, "`run`, or `prepare` for a statement that was only prepared."),
            field("tables", Texts, "Tables named in it, as written."),
            field("tables_more", Number, "Tables that did not fit in the list."),
            field("tag", Text, "The statement's kind as parsed."),
            field("tx", Text, "State of the transaction in which it was asked."),
            field("verdict", Text, "`allow`, `deny`, `hold`."),
            field("via", Text, "The protocol's way of asking: `simple`, `extended`, …"),
        ],
        payload: &[
            CLAIMS,
            CUT,
            NAMES,
            PARAMETERS,
            field("reason", Text, "The operator's sentence of a refusal."),
            field("text", Text, "The text, secrets replaced."),
            field(
                "text_digest",
                Text,
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
            field("first", Number, "Number of its first row in the result, from 0."),
            field("rows", Number, "Rows in this piece."),
        ],
        payload: &[COLUMNS, CUT, ROWS],
    },
    apart(
        "grant.asked",
        "An identity asks for access for a time (`chain`, and `for` without what proves it): over the API, or by a call in a session, \
         which `sid` and `cmd` name then.",
        parts::GRANT_ASKED,
        &[ADDRESS_BY, BY_NAME, NAMES_BY, field("reason", Text, "Why, as who asks says.")],
    ),
    apart("grant.ended", "The time of a grant is over.", parts::GRANT, &[]),
    apart("grant.expired", "Nobody answered in time.", parts::GRANT, &[]),
    apart(
        "grant.given",
        "A person approved it. Once as many have as it needs, it is in force for as long as `lasts` says.",
        parts::GRANT_ANSWERED,
        &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY],
    ),
    apart(
        "grant.refused",
        "A person refused it.",
        parts::GRANT_ANSWERED,
        &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY],
    ),
    apart(
        "grant.revoked",
        "It was taken back before its time, or given up by who asked; or its identity, its target or who approved it was contained. What \
         runs under it is stopped.",
        parts::GRANT_REVOKED,
        &[ADDRESS_BY, BY_NAME, NAMES_BY, REASON_BY],
    ),
    apart(
        "grant.used_up",
        "The last of the commands that it is for was given leave; nothing more is. What has begun under it goes on.",
        parts::GRANT,
        &[],
    ),
    apart(
        "identity.refused",
        "Somebody was not let in: the proof failed.",
        &[COUNT, METHOD, PROTO, TLS, WHY_REFUSED],
        &[ADDRESS, DETAIL_REFUSED, LOGIN, TARGET_ASKED],
    ),
    apart(
        "identity.token_created",
        "A token was made.",
        &[BY, CHAIN, facts(parts::TOKEN), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::TOKEN_DETAIL), long_facts(parts::TOKEN), NAMES_BY],
    ),
    apart(
        "identity.token_differs",
        "When a gateway started or read its configuration again, a token in the file was not as the record says.",
        &[BY, facts(parts::DIFFERS)],
        &[BY_NAME, CUT, detail(parts::ANY_TOKEN_DETAIL), long_facts(parts::DIFFERS)],
    ),
    apart(
        "identity.token_exchanged",
        "An agent or service got a token for a person: both had shown tokens of their own. `chain` is the person, who acts for them, and \
         the token that it showed.",
        &[BY, CHAIN, facts(parts::EXCHANGED), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::EXCHANGED_DETAIL), long_facts(parts::EXCHANGED), NAMES_BY],
    ),
    apart(
        "identity.token_failed",
        "What an entry before it says of this token was not done, or not for long: its file could not be written.",
        &[BY, CHAIN, facts(parts::ANY_TOKEN), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::ANY_TOKEN_DETAIL), long_facts(parts::ANY_TOKEN), NAMES_BY],
    ),
    apart(
        "identity.token_revoked",
        "A token was revoked.",
        &[BY, CHAIN, facts(parts::TOKEN_REVOKED), METHOD_BY, PROTO_BY, TLS_BY],
        &[
            ADDRESS_BY,
            BY_NAME,
            CUT,
            detail(parts::ANY_TOKEN_DETAIL),
            long_facts(parts::TOKEN_REVOKED),
            NAMES_BY,
        ],
    ),
    apart(
        "identity.token_signed_in",
        "A person has signed in at an issuer and got a token. `chain` is the person and the issuer's token, which was verified.",
        &[BY, CHAIN, facts(parts::SIGNED_IN), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::SIGNED_IN_DETAIL), long_facts(parts::SIGNED_IN), NAMES_BY],
    ),
    log("log.clock", "The wall clock jumped.", &[of_log(parts::CLOCK), FACTS_CUT]),
    apart(
        "log.gap",
        "An operator declared that entries are missing; a new epoch begins.",
        &[BY, facts(parts::GAP)],
        &[BY_NAME, CUT, detail(parts::GAP_DETAIL), long_facts(parts::GAP)],
    ),
    log(
        "log.heartbeat",
        "Nothing happened for a while, and the log was alive.",
        &[of_log(parts::HEARTBEAT), FACTS_CUT],
    ),
    apart(
        "log.key",
        "An administrator made a new key that signs the log (`firsthand keys rotate`).",
        &[BY, CHAIN, facts(parts::LOG_KEY), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, long_facts(parts::LOG_KEY), NAMES_BY],
    ),
    Kind {
        name: "log.oversize",
        means: "In this place should stand an entry that was too large to be recorded; the limits of entries forbid it.",
        of_session: false,
        leaf: &[field("sid", Text, "The session it belonged to.")],
        payload: &[],
    },
    log(
        "log.recovered",
        "After a stop without a word: what was found at the end of the log, and what was cut.",
        &[of_log(parts::RECOVERED), FACTS_CUT],
    ),
    log("log.sealed", "A segment is complete: its root and size.", &[of_log(parts::SEALED), FACTS_CUT]),
    log("log.started", "A writer opened the log.", &[of_log(parts::STARTED), FACTS_CUT]),
    log("log.stopped", "A writer closed the log in order.", &[of_log(parts::STOPPED), FACTS_CUT]),
    exported::KIND,
    apart(
        "record.read",
        "Somebody read the record.",
        &[BY, CHAIN, facts(parts::READ), METHOD_BY, PROTO_BY, TLS_BY],
        &[ADDRESS_BY, BY_NAME, CUT, detail(parts::READ_DETAIL), long_facts(parts::READ), NAMES_BY],
    ),
    log(
        "role.dropped",
        "The login role that a grant had of its own at its target is gone, because the grant is over: its sessions were ended, and what it \
         owned is its group's.",
        &[of_log(parts::ROLE_DROPPED), FACTS_CUT],
    ),
    log(
        "role.failed",
        "A login role of a grant could not be made, logged in with, dropped, or looked for. What is to be dropped is tried again; the same reason is \
         told once in a row.",
        &[of_log(parts::ROLE_FAILED), FACTS_CUT],
    ),
    log(
        "role.made",
        "A grant got a login role of its own at its target, for its first session.",
        &[of_log(parts::ROLE_MADE), FACTS_CUT],
    ),
    log(
        "role.swept",
        "A login role that an earlier run had made and left was ended and dropped, as with `role.dropped`.",
        &[of_log(parts::ROLE_SWEPT), FACTS_CUT],
    ),
    Kind {
        name: "session.closed",
        means: "A session ended.",
        of_session: true,
        leaf: &[
            field("commands", Number, "Commands asked in it; absent after a crash."),
            field("us", Number, "Microseconds from opened to closed; absent after a crash."),
            field(
                "why",
                Text,
                "`client`, `target`, `killed`, `contained` (by what says `detail`), `drained`, `idle`, `protocol`, `limit`, `record`, `tripwire`, `dropped`, `crash`.",
            ),
        ],
        payload: &[field("detail", Text, "More of why.")],
    },
    Kind {
        name: "session.noted",
        means: "Something that belongs to no command.",
        of_session: true,
        leaf: &[field(
            "what",
            Text,
            "`asked` (by the gateway itself), `cancel`, `error` (belonging to no command), `grant` (one is over: what ran under it was cancelled, or its transaction was made to fail), `limit` (one was passed: of time, so the target was asked to cancel; \
             or, where nothing is refused, any), `notice`, `notification`, `parameter`, `refused`, \
             `tripwire` (a command that was judged a read would have written, or wrote and was rolled back, or it could not be told: the session was ended), `unknown-message`.",
        )],
        payload: &[CUT, NOTED_DETAIL],
    },
    Kind {
        name: "session.opened",
        means: "A session began: somebody was admitted to a target.",
        of_session: true,
        leaf: &[
            field(
                "ca",
                Text,
                "The `[[client_ca]]` behind the client's certificate; absent: none was the proof.",
            ),
            COVERAGE,
            field(
                "ends",
                Time,
                "When the token ends that an issuer vouches for, or that came by exchange, or the client's certificate: nothing is allowed \
                 after that.",
            ),
            field("grant", Text, "The grant that is in force for it when it begins."),
            field("issuer", Text, "The issuer of the token; absent: Firsthand itself."),
            METHOD,
            PROTO,
            field("server", Text, "The target's version as it says."),
            TLS,
        ],
        payload: &[
            ADDRESS,
            field(
                "certificate",
                Object(parts::CERTIFICATE),
                "The client's certificate, where it is the proof.",
            ),
            CLAIMS,
            CUT,
            field(
                "groups",
                Texts,
                "The groups that the issuer, or a rule about the certificate, says it is in, each as `ISSUER/GROUP`.",
            ),
            LOGIN,
            LINK_NAMES,
            field(
                "owner",
                Text,
                "The team or person that answers for the agent or service; absent: none was given with its token, or by the rule about its \
                 certificate.",
            ),
            PASSED_ON,
        ],
    },
    apart(
        "session.refused",
        "Somebody got no session, or was refused a request of the API, although no proof failed: who they are was proved, or not \
         asked yet.",
        &[BY_REFUSED, CHAIN_REFUSED, COUNT, METHOD, PROTO, TLS, WHY_REFUSED],
        &[ADDRESS, BY_NAME, DETAIL_REFUSED, LOGIN, NAMES_BY, TARGET_ASKED],
    ),
    Kind {
        name: "stream",
        means: "Progress of a long transfer.",
        of_session: true,
        leaf: &[
            field("bytes", Number, "Bytes so far."),
            CMD,
            field("rows", Number, "Rows or messages so far."),
        ],
        payload: &[],
    },
    log(
        "target.asked",
        "The gateway itself asked a target, over a connection of its own: what a database defines (its questions are always the \
         same), how many rows the command behind this entry is estimated to touch (EXPLAIN of its text), what a held command \
         would change (its text is run in a transaction that is rolled back), what tables are that are written to (asked with each write, and told once for each table and connection), which rows transactions have changed \
         (asked as long as one is open, and told once for each connection), to end a backend that does not stop, or to make, end or find \
         the login roles of grants.",
        &[of_log(parts::ASKED), FACTS_CUT],
    ),
    Kind {
        name: "transaction.changed",
        means: "Rows that a transaction of the target changed, whatever changed them: statements, triggers, cascades, functions. As the \
                target's own log (WAL) says, after the commit; what was rolled back has none.",
        of_session: true,
        leaf: &[
            field("action", Text, "`insert`, `update`, `delete`, `truncate` (whose rows are not told)."),
            field(
                "count",
                Number,
                "Rows changed in all, kept or not; in the last such entry of a table and action.",
            ),
            COVERAGE,
            field("first", Number, "Number of its first row among those of this table and action, from 0."),
            FROM,
            field("how", Text, "How it was found out: `wal`."),
            field(
                "lsn",
                Text,
                "Where the commit ends in the target's log: the same in whatever entry tells of it.",
            ),
            field("rows", Number, "Rows in this entry."),
            field("table", Text, "The table, as `schema.name`; several for a TRUNCATE of several."),
            TO,
            XID,
        ],
        payload: &[
            field("columns", Objects(parts::CHANGED_COLUMN), "The columns of the rows."),
            CUT,
            field("new", Rows, "The rows as they are now: a list of values each."),
            field(
                "old",
                Rows,
                "The rows as they were, as far as the table's replica identity tells; `null` for a row of which it tells nothing.",
            ),
        ],
    },
    Kind {
        name: "transaction.ended",
        means: "What became of a transaction that was named. Once for each.",
        of_session: true,
        leaf: &[
            field("changes", Number, "Rows changed in all, over all tables."),
            COVERAGE,
            FROM,
            field("how", Text, "`committed`, `rolled-back`, `unknown`."),
            field("lsn", Text, "Where the commit ends in the target's log; absent: it left no rows there."),
            TO,
            XID,
        ],
        payload: &[],
    },
    Kind {
        name: "transaction.named",
        means: "Which transaction of the target a session's commands ran in: durable before anything goes to the target that may commit it. \
                The same transaction may be named again when more was done in it.",
        of_session: true,
        leaf: &[COVERAGE, FROM, TO, XID],
        payload: &[],
    },
];

const FROM: Field =
    field("from", Number, "The first of its commands in the session that may have changed something.");
const TO: Field = field("to", Number, "The last of them.");
const XID: Field = field(
    "xid",
    Number,
    "The target's number of the transaction, with its epoch (`xid8`); absent: not known.",
);

/// Kinds whose names are taken for what later versions will write.
pub const RESERVED: &[&str] = &["log.erased", "log.pruned"];

/// The kind of this name, if it is known.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys in order, those of objects too: so `Object` writes them.
    fn in_order(of: &str, fields: &[Field]) {
        assert!(fields.is_sorted_by(|a, b| a.key < b.key), "{of}");
        for field in fields {
            in_order(field.key, field.form.parts().1);
        }
    }

    #[test]
    fn every_kind_stands_once_and_in_order() {
        assert!(KINDS.is_sorted_by(|a, b| a.name < b.name));
        for kind in KINDS {
            for fields in [kind.leaf, kind.payload] {
                in_order(kind.name, fields);
            }
        }
    }
}
