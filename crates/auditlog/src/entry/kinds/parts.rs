//! Fields of the objects inside leaves and payloads, and fields that several kinds share.

use super::field::Form::{Bool, Datum, Number, Object, Objects, Rows, Text, TextOrNumber, Texts, Time, True};
use super::{Field, field};

const LINK: &[Field] = &[
    field("id", Text, "The pseudonym."),
    field("kind", Text, "`human`, `agent`, `service`, `token` or `certificate`."),
    field("trust", Text, "How it is known: `verified`, `bound` or `claimed`."),
];

pub(super) const PAY: &[Field] = &[
    field("h", Text, "SHA-256(\"firsthand/payload/v1\" ‖ 0x00 ‖ salt ‖ payload) in base64."),
    field("key", Text, "The subject whose key seals it; absent: the first link of `who.chain`."),
    field("len", Number, "Its bytes, before sealing."),
    field("month", Text, "The month of that key; absent: the month of `t`."),
    field("run", Text, "The writer's run, where keys are derived from it instead of the session."),
];

pub(super) const WHO: &[Field] = &[
    field("agent", Text, "The id that acts: the agent, the service, or the human alone."),
    field("chain", Objects(LINK), "The identity chain, from the outside in."),
    field("db", Text, "The database."),
    field("pid", Number, "The target's process that serves the session."),
    field("role", Text, "The role in force."),
    field("srole", Text, "The role that authenticated, where it differs."),
    field("target", Text, "The target."),
    field("tok", Text, "The token's id."),
];

/// A message of the target. Fields that it did not send are absent.
const REPORT: &[Field] = &[
    field("code", Text, "SQLSTATE."),
    field("column", Text, "A column that it is about."),
    field("constraint", Text, "A constraint that it is about."),
    field("context", Text, "Where it happened: the stack of calls."),
    field("detail", Text, "More of it."),
    field("hint", Text, "What to do."),
    field("internal_query", Text, "A statement that the server itself had made."),
    field("message", Text, "The message."),
    field("position", Text, "Where in the statement: characters, from 1."),
    field("routine", Text, "The server's routine that reports it."),
    field("schema", Text, "A schema that it is about."),
    field("severity", Text, "`ERROR`, `FATAL`, `NOTICE`, … in English."),
    field("table", Text, "A table that it is about."),
    field("type", Text, "A data type that it is about."),
];

const COLUMN: &[Field] = &[
    field("format", Text, "`binary`; absent: text."),
    field("masked", Text, "The rule by which its values were masked; absent: none was."),
    field("name", Text, "Its name."),
    field("type", TextOrNumber, "Its type: the name of a built-in one, the oid of another."),
];

pub(super) const CHANGED_COLUMN: &[Field] = &[
    field("key", True, "It belongs to the row's key."),
    field("masked", Text, "The label by which its values are masked; absent: they are not."),
    field("name", Text, "Its name."),
    field("type", TextOrNumber, "Its type, as of a column of a result."),
];

const COUNTED: &[Field] = &[
    field("action", Text, "`insert`, `update` or `delete`."),
    field("along", True, "Not by the command itself: by the action of a foreign key."),
    field("count", Number, "Rows."),
    field("table", Text, "The table, as `schema.name`."),
];

const SAMPLE: &[Field] = &[
    field("action", Text, "`insert`, `update`, `delete` or `upsert`."),
    field("columns", Objects(CHANGED_COLUMN), "The columns of the rows."),
    field("coverage", Texts, "What is missing of them, in the words of `command.changed`."),
    field("new", Rows, "The rows as they would be: a list of values each."),
    field("old", Rows, "The rows as they are: a list of values each."),
    field("rows", Number, "Rows that are shown."),
    field("table", Text, "The table, as `schema.name`."),
];

pub(super) const PREVIEW: &[Field] = &[
    field(
        "changes",
        Objects(COUNTED),
        "What each table's rows would go through, where the target counts that.",
    ),
    field("count", Number, "Rows that the command itself would change; absent: not known."),
    field("how", Text, "`exact`, `estimate` or `none`."),
    field("sample", Object(SAMPLE), "Some of the rows, masked as the record of the session masks them."),
    field("why", Text, "Why there is no more than this."),
];

const PARAMETER: &[Field] = &[
    field("type", TextOrNumber, "Its type, as of a column; absent: not known."),
    field(
        "value",
        Datum,
        "Its value as text; `{\"hex\":…}` where it cannot be read, with the oid of its `type` where that is known.",
    ),
];

const NAME_AND_VALUE: &[Field] = &[field("name", Text, "The name."), field("value", Text, "The value.")];

const LINK_NAME: &[Field] = &[
    field("id", Text, "The pseudonym, as in `who.chain`."),
    field("kind", Text, "`human`, `agent`, `service`, `token` or `certificate`."),
    field("name", Text, "The name behind it."),
];

pub(super) const CERTIFICATE: &[Field] = &[
    field("ends", Time, "When it ends."),
    field("issuer", Text, "The name of who issued it, as X.509 writes it."),
    field("serial", Text, "Its serial number there, in hexadecimal."),
    field("sha256", Text, "SHA-256 of it (DER), in hexadecimal."),
    field("subject", Text, "Its subject's name. Not by itself: whom it names says the chain."),
];

const NAMES_OF_STATEMENT: &[Field] = &[
    field("max_rows", Number, "Rows asked for at most; absent: all."),
    field("portal", Text, "The portal's name."),
    field("statement", Text, "The prepared statement's name."),
];

/// All that `detail` of a `session.noted` can hold; which of it says `what`.
const NOTED: &[Field] = &[
    field(
        "application_name",
        Text,
        "`asked`: what the gateway called the session at the target; absent: its client has named it, or `name_sessions` is off.",
    ),
    field("channel", Text, "`notification`: the channel."),
    field(
        "cmd",
        Number,
        "`tripwire`: the command that was judged a read and would have written, or wrote and was rolled back; or the last of those of which that could not be told. `limit`: the command, of a time that was enforced.",
    ),
    field("code", Text, "`error`, `notice`, `refused`, `tripwire`: SQLSTATE."),
    field(
        "column",
        Text,
        "`error`, `notice`: as in `error` of an outcome; so are the other keys of a message.",
    ),
    field("constraint", Text, "`error`, `notice`."),
    field("context", Text, "`error`, `notice`."),
    field(
        "coverage",
        Texts,
        "`error`, `notice`: `messages-cut`, where a text in it is longer than is kept; absent: it is whole.",
    ),
    field("detail", Text, "`error`, `notice`."),
    field("from", Text, "`cancel`: address and port from which it came."),
    field("grant", Text, "`grant`: under which something was stopped, because it is over."),
    field("held", Bool, "`cancel`: whether it ended the wait of a command that was held."),
    field("hint", Text, "`error`, `notice`."),
    field("internal_query", Text, "`error`, `notice`."),
    field("limit", Text, "`limit`: its name."),
    field("message", Text, "`error`, `notice`, `refused`, `tripwire`: the message."),
    field("most", Number, "`limit`: what it allows; of a time, microseconds."),
    field("name", Text, "`parameter`: the setting that has another value now."),
    field("of", Text, "`limit`: what it is of: `rows`, `bytes`, `cells`, `affected`, `time`, `sessions`."),
    field("payload", Text, "`notification`: its text."),
    field("pid", Number, "`notification`: the target's process that sent it."),
    field("position", Text, "`error`, `notice`."),
    field("role", Text, "`asked`: the role that the target named; `role`: the role in force now."),
    field("routine", Text, "`error`, `notice`."),
    field("schema", Text, "`error`, `notice`."),
    field("search_path", Text, "`asked`: the search path that the target named."),
    field(
        "set",
        Text,
        "`asked`: the setting that the gateway itself began the session with, because it may only read.",
    ),
    field("severity", Text, "`error`, `notice`."),
    field("table", Text, "`error`, `notice`."),
    field("tables", Texts, "`asked`: the tables it was asked about."),
    field("text", Text, "`asked`: the statement that the gateway itself sent."),
    field("then", Text, "`asked`: the statement that it sent after that."),
    field("type", Text, "`error`, `notice`: a data type; `unknown-message`: the message's type byte."),
    field("value", Text, "`parameter`: the new value."),
    field("why", Text, "`grant`: `has ended`, `was revoked`, `cannot be looked up`."),
];

pub(super) const COUNT: Field = field(
    "count",
    Number,
    "How many connections or requests this entry stands for; absent: one. Those that gave way while too many were half open are told together, \
     and so are those of an address beyond the first few within a minute; requests of an identity whose token was proved only beyond 20 a minute.",
);
pub(super) const CMD: Field = field("cmd", Number, "The command's number in its session, from 1.");
pub(super) const INTENT: Field = field("intent", Number, "Position of the command's `command.decided`.");
pub(super) const COVERAGE: Field =
    field("coverage", Texts, "What could not be observed; absent: nothing is known to be missing.");
pub(super) const METHOD: Field = field(
    "method",
    Text,
    "How the proof was given: `scram-sha-256`, `scram-sha-256-plus`, `clear-text`, `certificate`, `bearer` (the API); empty: none was.",
);
pub(super) const PROTO: Field = field("proto", Text, "Protocol and version; empty: none was spoken yet.");
pub(super) const TLS: Field =
    field("tls", Text, "TLS version of the client's connection; absent: clear text.");
pub(super) const ADDRESS: Field = field(
    "address",
    Text,
    "The client's address and port. Of several that are told together: their address, or network, if they share one.",
);
pub(super) const LOGIN: Field = field(
    "login",
    Text,
    "The login name presented; of an admitted issuer's token, the name that it came to.",
);
pub(super) const CUT: Field = field("cut", Texts, "Fields that were too long and are missing or cut.");
pub(super) const COLUMNS: Field = field("columns", Objects(COLUMN), "The columns, where rows have any.");
pub(super) const ROWS: Field = field(
    "rows",
    Rows,
    "Rows as the client got them: a list of values each, or text for copied data (in binary format: a list of values). A value that cannot be read is `{\"hex\":…}`.",
);
pub(super) const ERROR: Field = field("error", Object(REPORT), "The error as the client got it.");
pub(super) const NOTICES: Field = field("notices", Objects(REPORT), "Notices that came with it.");
pub(super) const NAMES: Field =
    field("names", Object(NAMES_OF_STATEMENT), "Names in the protocol; absent: all are empty.");
pub(super) const PARAMETERS: Field =
    field("parameters", Objects(PARAMETER), "Values of the statement's parameters, in order.");
pub(super) const CLAIMS: Field =
    field("claims", Objects(NAME_AND_VALUE), "What the client says of itself: claimed, never trusted.");
pub(super) const LINK_NAMES: Field =
    field("names", Objects(LINK_NAME), "The names behind the ids of the chain.");
pub(super) const PASSED_ON: Field =
    field("parameters", Objects(NAME_AND_VALUE), "Startup parameters passed on to the target, by name.");
pub(super) const NOTED_DETAIL: Field = field("detail", Object(NOTED), "What it says.");
pub(super) const BY: Field = field("by", Object(LINK), "Who did it.");
pub(super) const BY_NAME: Field = field("by", Text, "The name behind `by`.");
pub(super) const CHAIN: Field = field(
    "chain",
    Objects(LINK),
    "The identity chain of who did it, from the outside in, where a token established it (the API); absent: it was done on the gateway's machine.",
);
pub(super) const BY_REFUSED: Field = field(
    "by",
    Object(LINK),
    "Whom the token names that a request of the API was refused; absent: it was no such request.",
);
pub(super) const CHAIN_REFUSED: Field =
    field("chain", Objects(LINK), "The identity chain of that token, from the outside in.");
pub(super) const METHOD_BY: Field = field(
    "method",
    Text,
    "How the proof was given, where `chain` is there: `bearer`, `sign-in` (an issuer gave the token to the gateway itself), or `webhook` and `slack` (a channel says so, which is proved by its signature).",
);
pub(super) const PROTO_BY: Field =
    field("proto", Text, "Protocol of the connection, where it was one of the network.");
pub(super) const TLS_BY: Field =
    field("tls", Text, "TLS version of that connection; absent: clear text, or none.");
pub(super) const ADDRESS_BY: Field =
    field("address", Text, "Address and port of who did it, where it came over the network.");
pub(super) const NAMES_BY: Field = field("names", Objects(LINK_NAME), "The names behind the ids of `chain`.");
pub(super) const WHY_REFUSED: Field = field(
    "why",
    Text,
    "`proof`, `protocol`, `unknown`, `revoked`, `expired`, `contained`, `issuer`, `certificate`, `target`, `rate`, `limit`, `unobserved`, `policy`, `role`, `exchange`, `clear-text`, `misplaced-token`, `unreachable`, `credential`, `grant-role` (its grant has a login role of its own at the target, which could not be made), `signature` (what came for a channel was not signed by it, or is too old).",
);
pub(super) const DETAIL_REFUSED: Field = field("detail", Text, "More of why; never a credential.");
pub(super) const TARGET_ASKED: Field = field("target", Text, "The target asked for.");
pub(super) const FACTS_CUT: Field =
    field("facts_cut", True, "The facts were too long for a leaf and are missing.");

const STARTED_BY: &str =
    "`serve`, or the command that wrote to the log without a gateway, such as `token create`.";

pub(super) const STARTED: &[Field] = &[
    field("by", Text, STARTED_BY),
    field("config", Text, "SHA-256 of the configuration's text, in hexadecimal."),
    field("policy", Text, "Version of the policy in force."),
    field("separation", Text, "`none`: gateway, recorder and signer are one process."),
    field(
        "signs",
        Texts,
        "The keys that sign the log from here on, as C2SP verifier keys, the newest first; absent: this writer signs nothing.",
    ),
    field("targets", Number, "Targets configured."),
    field("version", Text, "Firsthand's version."),
];

/// Of a key that signs.
pub(super) const LOG_KEY: &[Field] = &[
    field("added", Text, "The new key, as a C2SP verifier key."),
    field(
        "done",
        Bool,
        "`false`: what the entry before this one says of the key was not done: its file could not be written.",
    ),
    field("replaced", Text, "The key before it, likewise, which signs on beside it."),
    field("until", Time, "Until when."),
];

pub(super) const STOPPED: &[Field] = &[field("by", Text, STARTED_BY)];

pub(super) const RECOVERED: &[Field] = &[
    field("clean", Bool, "Whether the last writer closed the log."),
    field("cut_at", Number, "Byte of the segment from which a torn last write was cut; absent: nothing was."),
    field("cut_bytes", Number, "Bytes that were cut."),
    field("cut_why", Text, "What was wrong with them."),
    field(
        "orphans",
        Number,
        "Commands without an outcome: each is abandoned by one of the entries that follow.",
    ),
    field("sessions", Number, "Sessions without an end: each is closed by one of the entries that follow."),
    field("size", Number, "Entries found."),
];

pub(super) const SEALED: &[Field] = &[
    field("epoch", Number, "The epoch: it grows when a gap is declared."),
    field("first", Number, "Position of the segment's first entry."),
    field("root", Text, "Root of the Merkle tree over the first `size` entries of the log, in hexadecimal."),
    field("size", Number, "Entries of the log up to the segment's end."),
];

pub(super) const CLOCK: &[Field] = &[field(
    "step_us",
    Number,
    "The largest step of the wall clock against the monotonic one since the last look, in microseconds.",
)];

pub(super) const HEARTBEAT: &[Field] = &[
    field("sessions", Number, "Sessions that are open."),
    field("size", Number, "Entries before this one."),
];

pub(super) const ASKED: &[Field] = &[
    field("backend", Number, "The backend that is to end, of `end`."),
    field("database", Text, "The database."),
    field("role", Text, "The role, of `role`."),
    field("session", Text, "The session whose backend that is, of `end`."),
    field("slot", Text, "The slot, of `slot` and `changes`."),
    field("tables", Texts, "The names asked about, of `tables`."),
    field("target", Text, "The target."),
    field(
        "what",
        Text,
        "`definitions`: what the database defines, read from its catalog; `estimate`: how many rows a command touches; `preview`: what a command would change that waits for a person; `tables`: what tables are that are written to; `slot`: whether there is a slot for its changes, which is made where there is none; `changes`: the changes themselves, and what became of transactions; `transactions`: which transaction a session's backend is in; `end`: to end a session's backend, whose statement has gone on past its time although it was cancelled; `role`: to make or end the login role of a grant; `roles`: which of them are there.",
    ),
];

const ROLE_GRANT: Field = field("grant", Text, "The grant's id.");
const ROLE_NAME: Field = field("role", Text, "The role's name.");
const ROLE_TARGET: Field = field("target", Text, "The target.");
const REASSIGNED: Field = field(
    "reassigned",
    Texts,
    "The databases in which it owned something, or had privileges of its own: its group has what it owned.",
);

pub(super) const ROLE_MADE: &[Field] = &[
    field("connections", Number, "So many connections it may have at a time."),
    ROLE_GRANT,
    field("group", Text, "The role that it is a member of."),
    ROLE_NAME,
    ROLE_TARGET,
    field("until", Number, "The grant's end, in µs since 1970: its VALID UNTIL is the whole second before."),
];

const SHUT: Field = field(
    "shut",
    Number,
    "So many of its functions ran with its rights (SECURITY DEFINER) and could be run by everybody: EXECUTE was taken from PUBLIC, before its \
     group got them. Absent: none.",
);
const SHUT_FUNCTIONS: Field =
    field("shut_functions", Texts, "Which they were, as the target names them; at most 20.");

pub(super) const ROLE_DROPPED: &[Field] =
    &[ROLE_GRANT, REASSIGNED, ROLE_NAME, SHUT, SHUT_FUNCTIONS, ROLE_TARGET];

pub(super) const ROLE_SWEPT: &[Field] = &[
    field("grant", Text, "The grant's id, as the role's comment tells it; absent: it does not."),
    REASSIGNED,
    ROLE_NAME,
    SHUT,
    SHUT_FUNCTIONS,
    ROLE_TARGET,
];

pub(super) const ROLE_FAILED: &[Field] = &[
    ROLE_GRANT,
    ROLE_TARGET,
    field(
        "what",
        Text,
        "`make`: its session was refused; `login`: the target lets nobody in with it, and not for its password (somebody has set NOLOGIN, say), so \
         its session was refused and it is left as it is; `drop`; `sweep`: to find and end what an earlier run has left.",
    ),
    field("why", Text, "What the target says, or what was in the way; at most 300 characters."),
];

pub(super) const GAP: &[Field] = &[
    field("byte", Number, "Byte of the segment from which nothing could be read."),
    field("epoch", Number, "The epoch that begins."),
    field("position", Number, "Position of the first entry given up."),
    field("segment", Text, "The segment's name."),
];

pub(super) const GAP_DETAIL: &[Field] = &[field("reason", Text, "The operator's reason.")];

pub(super) const RELOADED: &[Field] = &[
    field("config", Text, "SHA-256 of the configuration in force after it, in hexadecimal."),
    field("done", Bool, "False: it had errors, and the one before stays in force."),
    field("policy", Text, "Version of the policy in force after it."),
];

pub(super) const RELOADED_DETAIL: &[Field] = &[field("errors", Texts, "Why it was not done.")];

pub(super) const ASKED_BY_HAND: &[Field] = &[
    field("command", Text, "The command: `policy explain`."),
    field("database", Text, "The database."),
    field("target", Text, "The target."),
];

const CHANNEL: Field = field("channel", Text, "The channel's name.");

const CHANNEL_APPROVAL: Field = field("approval", Text, "The approval's id.");
const CHANNEL_MESSAGE: Field = field("message", Text, "The message's id, the same over all tries.");
const CHANNEL_OCCASION: Field = field(
    "occasion",
    Text,
    "What it was told of: `asked`, `given`, `refused`, `expired`, `withdrawn`, `spent`.",
);
const CHANNEL_TRIES: Field = field("tries", Number, "How often it was tried.");

pub(super) const CHANNEL_UNTOLD: &[Field] =
    &[CHANNEL_APPROVAL, CHANNEL, CHANNEL_MESSAGE, CHANNEL_OCCASION, CHANNEL_TRIES];

pub(super) const CHANNEL_SENT: &[Field] = &[
    CHANNEL_APPROVAL,
    CHANNEL,
    CHANNEL_MESSAGE,
    CHANNEL_OCCASION,
    field("text", True, "Statement, parameters and reasons were part of it."),
    CHANNEL_TRIES,
];

pub(super) const CHANNEL_FAILED: &[Field] = &[field("why", Text, "Why it did not arrive at the last try.")];

pub(super) const CHANNEL_REFUSED: &[Field] = &[
    field("approval", Text, "The approval's id, as it was said; absent: none was."),
    CHANNEL,
    field(
        "found",
        Text,
        "`replayed`: it came before. `form`: it was not understood. `unknown-person`: whom it names is nobody here. `no-role`: they have no \
         token with the role `approver` that holds. `not-counted`: their answer does not count, as it would not over the API.",
    ),
];

pub(super) const ANSWER_REFUSED: &[Field] = &[
    field(
        "answer",
        Text,
        "What they answered: `approve`, `deny`, `break-glass`; or what else they asked: `revoke` (to take a grant back), `original` (to see what masks hide of it).",
    ),
    field(
        "approval",
        Text,
        "The approval's or the grant's id, as they said it; absent: that had not the form of one.",
    ),
    field(
        "untold",
        Number,
        "So many of their answers before this one did not count and have no entry; absent: none.",
    ),
    field(
        "why",
        Text,
        "`unknown`: there is none of this id, or it is of another sort. `not-theirs`: it is none of theirs, which they were not told. `over`: it was answered, or had ended. `no-person`: who answers is no person. `own`: it is asked in \
         their own name. `not-in-group`: they are in no group that may answer. `twice`: they have approved it already. `no-glass`, \
         `not-for-glass`: the rule lets nobody break the glass, or not them. `no-reason`, `not-shown`: who breaks it gave none, or has not shown who \
         they are. `signature-missing`, `signature-unfit`, `signature-not-theirs`: there is no signature and the rule demands one; it is none of \
         this answer; it is one, by a key that is not configured for them. `signature-hidden`: its reason holds what may not be kept. `no-right`: they do not see originals. `contained`: they are contained. \
         `long`: the reason is too long. `changed`: the state of it differs from what was asked.",
    ),
];

pub(super) const CHANNEL_ANSWER: &[Field] = &[
    field("theirs", Text, "Who answered, as the channel calls them."),
    field("why", Text, "Why it does not count."),
];

const CONTAINED_ID: Field = field("contained", Text, "The containment's id, `cn-…`.");
const CONTAINED_IDS: Field = field(
    "ids",
    Texts,
    "Of an identity: its pseudonyms as a person, an agent and a service, or that of the token, as entries and keys name it.",
);
const CONTAINED_OF: Field = field("of", Text, "`identity`, `target` or `session`.");
const CONTAINED_SESSION: Field = field("session", Text, "The session.");
const CONTAINED_TARGET: Field = field("target", Text, "The target.");

pub(super) const CONTAINED: &[Field] = &[
    CONTAINED_ID,
    CONTAINED_IDS,
    CONTAINED_OF,
    CONTAINED_SESSION,
    field("sessions", Number, "Sessions that ran and end."),
    CONTAINED_TARGET,
    field("tokens", Number, "Tokens that are revoked."),
];

pub(super) const CONTAIN_LIFTED: &[Field] = &[
    CONTAINED_ID,
    field("held", True, "Its evidence is held on."),
    CONTAINED_IDS,
    CONTAINED_OF,
    CONTAINED_SESSION,
    CONTAINED_TARGET,
];

pub(super) const CONTAINED_DETAIL: &[Field] = &[
    field("name", Text, "The name that was contained, or the session's id."),
    field("reason", Text, "Why, in the administrator's words."),
];

pub(super) const CONTAIN_DIFFERS: &[Field] = &[
    CONTAINED_ID,
    field("done", True, "It is contained again for that."),
    field(
        "found",
        Text,
        "`contained-in-record`: the file did not have it. `lifted-in-record`: it was lifted, and the file did not say so. \
         `not-in-record`: nobody recorded that it was contained. The last two stay contained until they are lifted again.",
    ),
];

pub(super) const CA_MADE: &[Field] = &[field("ends", Text, "When it ends.")];

const CA_NAME: Field = field("name", Text, "Its name.");
const SHA256: Field = field("sha256", Text, "SHA-256 of its certificate, in hexadecimal.");

pub(super) const CA_DETAIL: &[Field] = &[CA_NAME, SHA256];

/// Of a certificate of the gateway's own authority.
pub(super) const CERTIFICATE_FACTS: &[Field] =
    &[field("cert", Text, "The certificate's id."), field("ends", Text, "When it ends.")];

pub(super) const CERTIFICATE_DETAIL: &[Field] = &[
    field("dns", Texts, "DNS names in it."),
    field("email", Texts, "Mail addresses in it."),
    field("name", Text, "Its common name."),
    field("serial", Text, "Its serial number, in hexadecimal."),
    field("sha256", Text, "SHA-256 of it, in hexadecimal."),
    field("uri", Texts, "URIs in it."),
];

pub(super) const KILLED: &[Field] = &[field("session", Text, "The session.")];

const EXPIRES: Field = field("expires", Text, "When it ends; absent: never.");
const FOR: Field = field("for", Text, "The id of whom it names.");
const FOR_KIND: Field = field("kind", Text, "`human`, `agent` or `service`.");
const OWNER_ID: Field =
    field("owner", Text, "The id of the team or person that answers for it; absent: none was given.");
const PERSON: Field = field("person", Text, "The id of the person on whose behalf an agent acts.");
const ROLES: Field = field(
    "roles",
    Texts,
    "What it lets its holder do at the gateway itself: `admin`, `auditor`; absent: nothing.",
);
const OPENS: Field = field("targets", Texts, "The targets that it opens.");
const TOK: Field = field("tok", Text, "The token's id.");

pub(super) const TOKEN: &[Field] = &[EXPIRES, FOR, FOR_KIND, OWNER_ID, PERSON, ROLES, OPENS, TOK];

const ACTOR_ISSUER: Field = field(
    "actor_issuer",
    Text,
    "Of an exchanged token: the issuer of the token that its agent showed; absent: Firsthand.",
);
const ACTOR_TOK: Field =
    field("actor_tok", Text, "Of an exchanged token: the id of the token that its agent showed.");
const CONSENT: Field = field(
    "consent",
    Text,
    "Of an exchanged token, why its agent may act for the person: `may_act` (the person's token says so), or `configuration`.",
);
const CONTAINED_BY: Field =
    field("contained", Text, "The containment that revoked it; absent: it was revoked by itself.");
const SUBJECT_ISSUER: Field = field(
    "subject_issuer",
    Text,
    "Of a token by exchange or by signing in: the issuer of the token that the person had; absent: Firsthand.",
);
const SUBJECT_TOK: Field = field(
    "subject_tok",
    Text,
    "Of a token by exchange or by signing in: the id of the token that the person had.",
);
const ALGORITHM: Field =
    field("alg", Text, "Of a token by signing in: how the issuer's token was signed, which was verified.");
const HOW: Field = field(
    "how",
    Text,
    "Of a token by signing in: `device` (with a code that was typed in elsewhere), or `browser`.",
);

/// What is said of a token, in the order of the names, with what only some kinds say at its place.
macro_rules! of_token {
    ([$($contained:expr)?], [$($how:expr, $alg:expr, $roles:expr)?]) => {
        &[
            ACTOR_ISSUER,
            ACTOR_TOK,
            $($alg,)?
            CONSENT,
            $($contained,)?
            EXPIRES,
            FOR,
            $($how,)?
            FOR_KIND,
            OWNER_ID,
            PERSON,
            $($roles,)?
            SUBJECT_ISSUER,
            SUBJECT_TOK,
            OPENS,
            TOK,
        ]
    };
}

/// Of a token that came by exchange.
pub(super) const EXCHANGED: &[Field] = of_token!([], []);

/// Of a token that came by signing in.
pub(super) const SIGNED_IN: &[Field] =
    &[ALGORITHM, EXPIRES, FOR, HOW, FOR_KIND, ROLES, SUBJECT_ISSUER, SUBJECT_TOK, OPENS, TOK];

/// Of a token that was made, or came by exchange or by signing in.
pub(super) const ANY_TOKEN: &[Field] = of_token!([], [HOW, ALGORITHM, ROLES]);

/// Of a token that is revoked: by itself, or because its identity was contained.
pub(super) const TOKEN_REVOKED: &[Field] = of_token!([CONTAINED_BY], [HOW, ALGORITHM, ROLES]);

/// Of a grant, with more in front and in the middle.
macro_rules! of_grant {
    ([$($first:expr),*], [$($digest:expr),*], [$($given:expr),*], [$($method:expr, $proto:expr)?], [$($tls:expr),*]) => {
        &[
            $($first,)*
            field("cmd", Number, "The command that asked for it, where that was in a session."),
            field("commands", Number, "It is for so many commands; absent: for as many as come."),
            field("db", Text, "The database."),
            $($digest,)*
            field("effects", Texts, "What may be done under it."),
            field("for", Objects(LINK), "Who has it: all that act in the identity chain, from the outside in."),
            $($given,)*
            field("grant", Text, "The grant's id."),
            field("lasts", Number, "How long, in µs, from when it is given."),
            $($method, $proto,)?
            field("quorum", Number, "Approvals that it needs, over all its groups."),
            field("sid", Text, "The session that asked for it, where one did."),
            field("tables", Texts, "Where: `schema.name`, `schema.*`; absent: anywhere."),
            field("target", Text, "The target."),
            $($tls,)*
        ]
    };
}

/// Of a grant, where nobody did anything.
pub(super) const GRANT: &[Field] = of_grant!([], [], [], [], []);

/// Of a grant that is asked for.
pub(super) const GRANT_ASKED: &[Field] = of_grant!(
    [BY, CHAIN],
    [field("digest", Text, "What is asked for: a keyed digest.")],
    [],
    [METHOD_BY, PROTO_BY],
    [TLS_BY]
);

/// Of a grant that somebody answers.
pub(super) const GRANT_ANSWERED: &[Field] = of_grant!(
    [BY, CHAIN],
    [],
    [field(
        "given",
        Number,
        "Of `quorum`, what is there by now: one person who is in several of the groups counts in each; a broken glass counts once."
    )],
    [METHOD_BY, PROTO_BY],
    [TLS_BY]
);

/// Of a grant that somebody takes back.
pub(super) const GRANT_REVOKED: &[Field] = of_grant!([BY, CHAIN], [], [], [METHOD_BY, PROTO_BY], [TLS_BY]);

pub(super) const APPROVAL_DIFFERS: &[Field] = &[
    field("approval", Text, "The approval's or the grant's id."),
    field("done", True, "It was ended for that: nothing is spent that the record does not know as given."),
    field(
        "found",
        Text,
        "`over-in-record`: the record says that it ended. `not-given-in-record`: nobody recorded that it was given. `not-in-record`: nobody \
         recorded that it was asked. `signer-not-configured`: it was given, and signed by a key that is in no `[[approver_key]]` of its approver any more; it is withdrawn \
         for that. `bound-otherwise`: it is bound to something else, or under other terms, than what was asked. \
         `sealed-otherwise`: it was changed in the state by something else than a gateway. `spent-not-in-record`: it was spent, and no entry \
         says by which command (a crash came between).",
    ),
];

pub(super) const DIFFERS: &[Field] = &[
    field("done", True, "It was revoked for that: what the record says ended, opens nothing."),
    field(
        "found",
        Text,
        "`revoked-in-record`: it was revoked, and the file did not say so. `not-made-in-record`: its making was recorded as failed, and \
         it was there. `not-in-file`: it was made, and is not there. `not-in-record`: nobody recorded that it was made. \
         `revoked-in-file`: nobody recorded that it was revoked. `changed`: it is another person's, or opens something else, than was recorded.",
    ),
    field("tok", Text, "The token's id."),
];

const TOKEN_ID: Field = field("id", Text, "The token's id as the command line shows it.");
const TOKEN_LOGIN: Field = field("login", Text, "Its login name.");
const ON_BEHALF_OF: Field = field("on_behalf_of", Text, "The person on whose behalf an agent acts.");
const OWNER: Field = field("owner", Text, "The team or person that answers for it.");

pub(super) const TOKEN_DETAIL: &[Field] = &[TOKEN_ID, TOKEN_LOGIN, ON_BEHALF_OF, OWNER];

/// Of a token that may have come by exchange.
const ACTOR: Field = field("actor", Text, "Of an exchanged token: who acts by it.");
const ACTOR_TOKEN: Field =
    field("actor_token", Text, "Of an exchanged token: the name of the token that its agent showed.");

pub(super) const EXCHANGED_DETAIL: &[Field] =
    &[ACTOR, ACTOR_TOKEN, TOKEN_ID, TOKEN_LOGIN, ON_BEHALF_OF, OWNER, SUBJECT_TOKEN];

const SIGNED_IN_PERSON: Field = field("person", Text, "Of a token by signing in: who did.");
const SIGNED_IN_SUBJECT: Field =
    field("subject", Text, "Of a token by signing in: what the issuer calls the person, for ever (`sub`).");
const SUBJECT_TOKEN: Field = field(
    "subject_token",
    Text,
    "Of a token by exchange or by signing in: the name of the token that the person had.",
);

pub(super) const SIGNED_IN_DETAIL: &[Field] =
    &[TOKEN_ID, TOKEN_LOGIN, SIGNED_IN_PERSON, SIGNED_IN_SUBJECT, SUBJECT_TOKEN];

pub(super) const ANY_TOKEN_DETAIL: &[Field] = &[
    ACTOR,
    ACTOR_TOKEN,
    TOKEN_ID,
    TOKEN_LOGIN,
    ON_BEHALF_OF,
    OWNER,
    SIGNED_IN_PERSON,
    SIGNED_IN_SUBJECT,
    SUBJECT_TOKEN,
];

pub(super) const READ: &[Field] =
    &[field("command", Text, "The command that read it, such as `log search`.")];

pub(super) const READ_DETAIL: &[Field] = &[
    field("approval", Text, "The approval that was shown, with what its session did before."),
    field("approvals", Number, "Approvals that were listed, over the API."),
    field("certificates", Number, "Certificates that were listed, over the API."),
    field("commands", Number, "Commands of the session that was shown."),
    field("contained", Number, "Containments that were listed, over the API."),
    field("entries", Number, "Entries that were shown."),
    field("expression", Text, "What was searched for."),
    field("follow", True, "And those that came later, as they came."),
    field("grant", Text, "The grant that was shown."),
    field("grants", Number, "Grants that were listed, over the API."),
    field("more", True, "There were more entries than that; all were shown."),
    field("session", Text, "The session that was shown."),
    field("sessions", Number, "Sessions that were listed."),
    field("since", Text, "`policy replay` and `suggest`: how far back, as it was asked."),
    field("tokens", Number, "Tokens that were listed, over the API."),
];

/// A yes that is signed.
pub(super) const SIGNATURE: Field = field(
    "signature",
    Object(&[
        field("fingerprint", Text, "The key's fingerprint, as `ssh-keygen -l` shows it."),
        field(
            "key",
            Text,
            "The public key. Whose it is, somebody else has to say: see \"Checking who has signed\".",
        ),
        field(
            "signature",
            Text,
            "The signature, as `ssh-keygen -Y sign` writes it, for the namespace `firsthand-approval`.",
        ),
        field("text", Text, "The text that is signed, to its last line end."),
    ]),
    "What they have signed; absent: nothing.",
);
