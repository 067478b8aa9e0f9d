//! What auditors ask for, and where in a bundle it is answered. "Not covered" is an answer.

/// Source, number, what it asks for, and where that stands here.
pub(super) struct Requirement {
    pub(super) source: &'static str,
    pub(super) number: &'static str,
    pub(super) asks: &'static str,
    /// None: not covered.
    pub(super) answer: Option<&'static str>,
}

const fn asked(
    source: &'static str,
    number: &'static str,
    asks: &'static str,
    answer: Option<&'static str>,
) -> Requirement {
    Requirement { source, number, asks, answer }
}

const PCI: &str = "PCI DSS 4.0.1";
const SOC: &str = "SOC 2";
const HIPAA: &str = "HIPAA";
const ISO: &str = "ISO 27001";
const NIST: &str = "NIST 800-53r5";

/// All of them. The wording is shortened; the standards' own text counts.
pub(super) const ALL: &[Requirement] = &[
    asked(
        PCI,
        "10.2.1.1",
        "All individual user access to cardholder data",
        Some("command.decided: who.chain, tables, effects; command.rows; Commands below"),
    ),
    asked(
        PCI,
        "10.2.1.2",
        "All actions of those with administrative access, also by application or system accounts",
        Some("who.role, who.srole beside who.chain: the person behind the role; admin.* entries"),
    ),
    asked(
        PCI,
        "10.2.1.3",
        "All access to audit logs",
        Some("record.read, record.exported (leaves; by and command)"),
    ),
    asked(
        PCI,
        "10.2.1.4",
        "All invalid logical access attempts",
        Some("identity.refused, session.refused; command.decided with verdict deny; Refusals below"),
    ),
    asked(
        PCI,
        "10.2.1.5",
        "Changes to identification and authentication credentials",
        Some("identity.*, grant.*, role.*, log.key; statements with effect grant"),
    ),
    asked(
        PCI,
        "10.2.1.6",
        "Initialisation of new audit logs; starting, stopping, pausing",
        Some("log.started, log.stopped, log.recovered, log.gap, log.heartbeat; Gaps below"),
    ),
    asked(
        PCI,
        "10.2.1.7",
        "Creation and deletion of system-level objects",
        Some("command.decided with effect define; not what is done on the server's own machine"),
    ),
    asked(
        PCI,
        "10.2.2",
        "User, type, date and time, success or failure, origination, name of what is affected",
        Some(
            "who, k, t, verdict and command.completed (sqlstate), payload of session.opened (client), tables",
        ),
    ),
    asked(
        PCI,
        "10.3 (log files protected)",
        "Modification prevented or detected, backed up promptly",
        Some("e<E>/checkpoint, range.json and verify.py prove it for this range; backups are not covered"),
    ),
    asked(
        PCI,
        "10.4, 10.5, 10.6, 10.7",
        "Review, retention, time synchronisation, failures of controls",
        None,
    ),
    asked(
        SOC,
        "CC7.2",
        "Monitoring of components for anomalies: the population of events is complete and accurate",
        Some(
            "range.json and leaves.jsonl: the population is bound to a signed root; what is done with alerts is not covered",
        ),
    ),
    asked(
        SOC,
        "CC6.1 to CC6.3",
        "Logical access is granted, changed and removed",
        Some("grant.*, identity.token_*: only as far as access goes through this gateway"),
    ),
    asked(
        HIPAA,
        "164.312(b)",
        "Record and examine activity in systems with protected health information",
        Some(
            "command.* and session.* entries; record.read shows who examined. What does not pass the gateway is not covered",
        ),
    ),
    asked(
        HIPAA,
        "164.312(c)(1)",
        "Integrity: protection from improper alteration",
        Some("of the record itself: verify.py; of the data: command.changed with old and new values"),
    ),
    asked(
        ISO,
        "A.8.15",
        "Logs of activities, exceptions, faults are produced, stored, protected and analysed",
        Some("leaves.jsonl, protected by e<E>/checkpoint and cosignatures; analysis is not covered"),
    ),
    asked(
        ISO,
        "A.8.17",
        "Clock synchronisation",
        Some(
            "t and mono of each leaf, log.clock where the clock was stepped; the source of time is not covered",
        ),
    ),
    asked(NIST, "AU-3 a", "What type of event occurred", Some("k, effects, action of leaves")),
    asked(NIST, "AU-3 b", "When", Some("t (UTC, microseconds) and mono")),
    asked(NIST, "AU-3 c", "Where", Some("who.target, who.db, tables, resolved")),
    asked(
        NIST,
        "AU-3 d",
        "Source",
        Some(
            "payload of session.opened and identity.refused: the client's address; claims (said by the client)",
        ),
    ),
    asked(
        NIST,
        "AU-3 e",
        "Outcome",
        Some("verdict; command.completed, command.abandoned: sqlstate, rows, affected"),
    ),
    asked(
        NIST,
        "AU-3 f",
        "Identity of individuals, subjects, objects",
        Some("who.chain with trust of each link; payload names; tables"),
    ),
    asked(
        NIST,
        "AU-3(3)",
        "Limit personally identifiable information",
        Some("leaves hold pseudonyms; payloads are shown only as the scope says, the rest is counted"),
    ),
    asked(
        NIST,
        "AU-10",
        "Non-repudiation",
        Some(
            "approval.given with signature (payload), where signed approvals are demanded; else not covered",
        ),
    ),
];
