//! The `Policy` port over rules: pure, remembers what it has decided, and can be given other rules or a newer catalog
//! while sessions run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use firsthand_model::amount::Most;
use firsthand_model::command::{Command, Effect, Effects, Shape};
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::identity::Identity;
use firsthand_model::masking::MaskDuty;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Opaque, Output, Relation};
use firsthand_model::target::Mode;
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{Ask, Policy};

use crate::advice::advice;
use crate::cache::{Cache, Key};
use crate::compiled::Compiled;
use crate::detect::LabelMasks;
use crate::judge::{Judgement, effects, judge};
use crate::labels::{Columns, KnownColumn};
use crate::limits::limits;
use crate::masks::{Origins, Veil};
use crate::pattern::Pattern;
use crate::question::{Question, Situation, Unfit};
use crate::window::open_bits;
use crate::written_back;

/// Masks of origins kept: identities × targets.
const ORIGINS_MAX: usize = 4096;

/// Rules in force, with what was decided under them.
struct Force {
    compiled: Compiled,
    cache: Cache,
    origins: Mutex<HashMap<OriginKey, Origins>>,
}

/// Identity (the same for all its sessions), target, windows, generation of the catalog.
type OriginKey = (Arc<Identity>, String, u64, u64);

/// A target's catalog.
#[derive(Clone)]
struct Known {
    generation: u64,
    columns: Arc<Columns>,
}

/// What is known of each target's databases.
type Catalogs = HashMap<String, HashMap<String, Known>>;

fn known_of<'a>(catalogs: &'a Catalogs, session: &SessionFacts) -> Option<&'a Known> {
    catalogs.get(&session.target)?.get(&session.database)
}

/// Decides by rules.
pub struct Rules {
    force: ArcSwap<Force>,
    catalogs: ArcSwap<Catalogs>,
    generation: AtomicU64,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Rules {
    /// These rules.
    #[must_use]
    pub fn new(compiled: Compiled) -> Self {
        Self {
            force: ArcSwap::from_pointee(Force::of(compiled)),
            catalogs: ArcSwap::default(),
            generation: AtomicU64::new(1),
        }
    }

    /// Other rules from now on, for running sessions too.
    pub fn replace(&self, compiled: Compiled) {
        self.force.store(Arc::new(Force::of(compiled)));
    }

    /// The version in force.
    #[must_use]
    pub fn version(&self) -> Arc<str> {
        Arc::clone(&self.force.load().compiled.version)
    }

    /// What the catalog of a target's database lists: needed for masks by origin and of whole rows. Replaces what was known.
    pub fn know(&self, target: &str, database: &str, columns: Vec<KnownColumn>) {
        let generation = self.generation.fetch_add(1, Relaxed);
        let known = Known { generation, columns: Arc::new(Columns::new(columns)) };
        self.catalogs.rcu(|old| {
            let mut new = HashMap::clone(old);
            new.entry(target.to_owned()).or_default().insert(database.to_owned(), known.clone());
            new
        });
    }

    /// Takes over what other rules know of catalogs.
    pub fn know_as(&self, other: &Self) {
        self.catalogs.store(other.catalogs.load_full());
        self.generation.store(other.generation.load(Relaxed), Relaxed);
    }

    /// Judges with everything that spoke, past the cache: for explanations.
    #[must_use]
    pub fn judge(&self, session: &SessionFacts, facts: &Facts, now: UnixMicros, approved: bool) -> Judgement {
        let force = self.force.load();
        let known = known_of(&self.catalogs.load(), session).cloned();
        let windows = open_bits(&force.compiled.windows, now);
        force.judge(session, facts, windows, known.as_ref(), Given { approved, ..Given::default() })
    }

    /// What who is refused can do next; empty for an allow.
    #[must_use]
    pub fn advise(
        &self,
        session: &SessionFacts,
        facts: &Facts,
        now: UnixMicros,
        judged: &Judgement,
    ) -> String {
        let windows = self.with_compiled(|c| open_bits(&c.windows, now));
        let suppose = |session: &SessionFacts, facts: &Facts, windows, given| {
            self.suppose(session, facts, windows, given)
        };
        self.with_compiled(|compiled| {
            advice(&suppose, session, facts, (windows, Given::default()), judged, compiled)
        })
    }

    /// The masks by which values of who asks are looked through where they have no label; for explanations.
    #[must_use]
    pub fn detecting(&self, session: &SessionFacts, now: UnixMicros) -> Vec<Arc<str>> {
        let force = self.force.load();
        let (facts, windows) = (Facts::default(), open_bits(&force.compiled.windows, now));
        let on = situation(session, &facts, windows, Given::default());
        let found = Question::new(&force.compiled, on)
            .and_then(|mut question| Veil::new(&mut question, &force.compiled, None).detecting());
        // Rules that cannot be asked refuse everything, and so nothing comes out.
        found.unwrap_or_default()
    }

    /// Judges under other circumstances.
    pub(crate) fn suppose(
        &self,
        session: &SessionFacts,
        facts: &Facts,
        windows: u64,
        given: Given,
    ) -> Judgement {
        let known = known_of(&self.catalogs.load(), session).cloned();
        self.force.load().judge(session, facts, windows, known.as_ref(), given)
    }

    /// What is done with values that turn out to be something: for whoever looks through them.
    #[must_use]
    pub fn label_masks(&self) -> LabelMasks {
        let mut by_label = self.force.load().compiled.found.clone();
        let others = by_label.remove("*");
        LabelMasks::new(by_label, others)
    }

    /// Whether one of these names is a member of a group of the rules.
    #[must_use]
    pub fn is_member(&self, group: &str, names: &[&str]) -> bool {
        let has =
            |members: &[Pattern]| members.iter().any(|m| names.iter().any(|name| m.matches_member(name)));
        self.with_compiled(|c| c.groups.iter().any(|g| g.name == group && has(&g.members)))
    }

    /// Whether anybody at all is in a group of the rules.
    #[must_use]
    pub fn has_members(&self, group: &str) -> bool {
        self.with_compiled(|c| c.has_members(group))
    }

    /// The rules in force, for documents and explanations.
    pub fn with_compiled<T>(&self, read: impl FnOnce(&Compiled) -> T) -> T {
        read(&self.force.load().compiled)
    }
}

/// What comes with a question besides the statement.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given {
    pub(crate) approved: bool,
    pub(crate) estimated_rows: Option<u64>,
    /// A grant that covers it is in force.
    pub(crate) granted: bool,
}

impl Force {
    fn of(compiled: Compiled) -> Self {
        Self { compiled, cache: Cache::default(), origins: Mutex::default() }
    }

    fn judge(
        &self,
        session: &SessionFacts,
        facts: &Facts,
        windows: u64,
        known: Option<&Known>,
        given: Given,
    ) -> Judgement {
        let on = situation(session, facts, windows, given);
        let origins = |veil: &mut Veil<'_, '_>| self.origins(session, windows, known, veil);
        judge(&self.compiled, on, known.map(|k| &*k.columns), &origins)
    }

    fn origins(
        &self,
        session: &SessionFacts,
        windows: u64,
        known: Option<&Known>,
        veil: &mut Veil<'_, '_>,
    ) -> Result<Origins, Unfit> {
        let Some(known) = known else { return Ok(Origins::default()) };
        // A mask may depend on the role and the application: then the origins do too.
        let place =
            format!("{}\0{}\0{}\0{}", session.target, session.database, session.role, session.application);
        let key = (Arc::clone(&session.identity), place, windows, known.generation);
        let held = self.origins.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone);
        if let Some(origins) = held {
            return Ok(origins);
        }
        let origins = veil.origins()?;
        let mut all = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ORIGINS_MAX {
            all.clear();
        }
        all.insert(key, Arc::clone(&origins));
        Ok(origins)
    }
}

pub(crate) fn situation<'a>(
    session: &'a SessionFacts,
    facts: &'a Facts,
    windows: u64,
    given: Given,
) -> Situation<'a> {
    Situation {
        identity: &session.identity,
        target: &session.target,
        database: &session.database,
        role: &session.role,
        application: &session.application,
        facts,
        effects: effects(facts),
        windows,
        estimated_rows: given.estimated_rows,
        approved: given.approved,
        granted: given.granted,
        observed: session.mode == Mode::Observe,
    }
}

impl Policy for Rules {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        let force = self.force.load();
        let windows = open_bits(&force.compiled.windows, ask.now);
        let decision = decide(&force, &self.catalogs.load(), ask, windows);
        written_back::check(&force.compiled, ask, windows, decision)
    }

    fn may_change(&self, identity: &Identity, target: &str, database: &str) -> bool {
        self.force.load().compiled.may_change(identity, target, database)
    }

    fn may_hold(&self, identity: &Identity, target: &str, database: &str, effects: Effects) -> bool {
        self.force.load().compiled.may_hold(identity, target, database, effects)
    }

    fn masks_of_rows(
        &self,
        session: &SessionFacts,
        table: (&str, &str),
        columns: &[&str],
        now: UnixMicros,
    ) -> Option<MaskDuty> {
        let force = self.force.load();
        if !force.compiled.has_masks {
            return Some(MaskDuty { columns: Some(vec![None; columns.len()]), ..MaskDuty::default() });
        }
        // Of a session read back from the record it is not known who it was, nor where values that it stored came from.
        if session.identity.login.is_empty() {
            return None;
        }
        // A table or a column that the catalog does not list has labels that nobody knows.
        let known = known_of(&self.catalogs.load(), session).cloned()?;
        let (facts, windows) = (Facts::default(), open_bits(&force.compiled.windows, now));
        let on = situation(session, &facts, windows, Given::default());
        masks_of_rows(&force.compiled, on, &known.columns, table, columns).ok().flatten()
    }

    fn sessions_limit(&self, session: &SessionFacts, now: UnixMicros) -> Option<Most> {
        let force = self.force.load();
        let (facts, windows) = (Facts::default(), open_bits(&force.compiled.windows, now));
        let on = situation(session, &facts, windows, Given::default());
        let limits = Question::new(&force.compiled, on).and_then(|mut question| limits(&mut question));
        match limits {
            Ok(limits) => limits.sessions,
            // Rules that cannot be asked let nobody in.
            Err(Unfit) => {
                Some(Most { most: 0, limit: Arc::from(crate::judge::POLICY_ERROR), because: Arc::from("") })
            }
        }
    }

    fn wants_estimate(&self, session: &SessionFacts, command: &Command) -> bool {
        let SessionFacts { identity, target, database, .. } = session;
        let effects = command.shape.facts.as_ref().map_or(command.shape.effects, |facts| facts.effects);
        self.force.load().compiled.counts_rows(identity, target, database, effects)
    }
}

fn masks_of_rows(
    compiled: &Compiled,
    on: Situation<'_>,
    known: &Columns,
    (schema, relation): (&str, &str),
    columns: &[&str],
) -> Result<Option<MaskDuty>, Unfit> {
    let mut question = Question::new(compiled, on)?;
    let mut veil = Veil::new(&mut question, compiled, Some(known));
    let Some(listed) = known.of(schema, relation) else { return Ok(None) };
    let mut masks = Vec::with_capacity(columns.len());
    for name in columns {
        let Some(column) = listed.iter().find(|k| k.column.column == **name) else { return Ok(None) };
        masks.push(veil.of(&column.column)?.map(|masked| masked.mask));
    }
    Ok(Some(MaskDuty { columns: Some(masks), scan: veil.detects()?, ..MaskDuty::default() }))
}

fn decide(force: &Force, catalogs: &Catalogs, ask: &Ask<'_>, windows: u64) -> Decision {
    let Ask { session, command, .. } = ask;
    let version = Arc::clone(&force.compiled.version);
    // The door has checked this already; whoever opens another door must not get past here.
    if !session.identity.targets.contains(&session.target) {
        return Decision {
            verdict: Verdict::Deny,
            rule: Arc::from("token-targets"),
            reason: Arc::from("the token does not name this target"),
            advice: Arc::from("Use a token that names this target."),
            policy: version,
            obligations: Arc::default(),
            terms: None,
        };
    }
    let known = known_of(catalogs, session);
    let (catalog, rows) = (known.map_or(0, |k| k.generation), ask.estimated_rows);
    let key = Key { session, shape: &command.shape, windows, catalog, rows, granted: ask.granted };
    let (hash, found) = force.cache.find(key);
    if let Some(decision) = found {
        return decision;
    }
    let facts = facts_of(command);
    let suppose = |session: &SessionFacts, facts: &Facts, windows, given| {
        force.judge(session, facts, windows, known, given)
    };
    let given = Given { estimated_rows: rows, granted: ask.granted, ..Given::default() };
    let judged = suppose(session, &facts, windows, given);
    let decision = Decision {
        advice: Arc::from(advice(&suppose, session, &facts, (windows, given), &judged, &force.compiled)),
        verdict: judged.verdict,
        rule: judged.rule,
        reason: judged.reason,
        policy: version,
        obligations: judged.obligations,
        terms: judged.terms,
    };
    force.cache.keep(hash, key, decision.clone());
    decision
}

/// The facts of a command; where only its text was read, what that gives, as something that cannot be told.
fn facts_of(command: &Command) -> Arc<Facts> {
    match &command.shape.facts {
        Some(facts) => Arc::clone(facts),
        None => Arc::new(unresolved(&command.shape)),
    }
}

/// What a command's coverage says of why nobody can tell what it does, and the word of that in a decision.
const UNTOLD: [(&str, &str); 6] = [
    ("unparsed", "unparsed"),
    ("several", "several"),
    ("text-unknown", "prepared"),
    ("text-doubtful", "prepared"),
    ("cursor-unknown", "cursor"),
    ("bound-before", "search-path"),
];

/// What is known of a statement of which only the text was read.
#[must_use]
pub fn unresolved(shape: &Shape) -> Facts {
    let relation = |written: &String| Relation {
        written: written.clone(),
        name: written.clone(),
        ..Relation::default()
    };
    let tables: Vec<Relation> = shape.tables.iter().map(relation).collect();
    let of_text =
        |covered: &String| UNTOLD.iter().find(|(coverage, _)| covered == coverage).map(|(_, why)| *why);
    // The protocol's own function call has no text, and nothing that is read later tells more of it.
    let call = shape.tag.is_empty() && shape.effects.has(Effect::Execute);
    let untold = if call { "function" } else { "no-catalog" };
    let why = shape.coverage.iter().find_map(of_text).unwrap_or(untold);
    Facts {
        effects: shape.effects.and(Effect::Unknown),
        writes: if shape.plain_read { Vec::new() } else { tables.clone() },
        reads: tables,
        unbounded: !shape.plain_read,
        opaque: Some(Opaque { why, what: String::new() }),
        output: Output::Untold("only its text was read, without the target's catalog"),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use firsthand_model::command::Effects;
    use firsthand_model::id::SessionId;
    use firsthand_model::identity::{IdentityKind, Link, Trust};
    use firsthand_model::json::Json;
    use firsthand_model::outcome::Transaction;
    use firsthand_model::statement::Column;
    use firsthand_model::target::Durability;

    use crate::compiled::RuleFile;

    use super::*;

    /// Coverage of a command whose doing is not known, and the word that a decision says.
    const WORDS: &[(&[&str], &str)] = &[
        (&[], "no-catalog"),
        (&["tables-cut"], "no-catalog"),
        (&["tables-cut", "unparsed"], "unparsed"),
        (&["several"], "several"),
        (&["text-unknown"], "prepared"),
        (&["text-doubtful"], "prepared"),
        (&["cursor-unknown"], "cursor"),
        (&["bound-before"], "search-path"),
    ];

    #[test]
    fn what_cannot_be_told_says_why() {
        for (coverage, word) in WORDS {
            let shape = Shape {
                tag: "SELECT".to_owned(),
                effects: Effects::only(Effect::Read),
                tables: Vec::new(),
                plain_read: true,
                coverage: coverage.iter().map(|c| (*c).to_owned()).collect(),
                facts: None,
            };
            let facts = unresolved(&shape);
            assert_eq!(facts.opaque.as_ref().map(|it| it.why), Some(*word), "{coverage:?}");
            assert!(facts.effects.has(Effect::Unknown));
        }
    }

    fn session(database: &str) -> SessionFacts {
        let name = || "a".to_owned();
        let link = Link { kind: IdentityKind::Agent, id: name(), name: name(), trust: Trust::Bound };
        let identity = Identity {
            chain: vec![link],
            login: name(),
            subject: name(),
            targets: vec![name()],
            ..Identity::default()
        };
        SessionFacts {
            id: SessionId(0),
            identity: Arc::new(identity),
            target: name(),
            database: database.to_owned(),
            session_role: String::new(),
            role: String::new(),
            backend_pid: 0,
            server_version: String::new(),
            application: String::new(),
            durability: Durability::Strict,
            mode: Mode::Enforce,
            role_of: firsthand_model::session::RoleOf::Target,
            encoded: OnceLock::new(),
        }
    }

    fn key<'a>(session: &'a SessionFacts, shape: &'a Arc<Shape>) -> Key<'a> {
        Key { session, shape, windows: 0, catalog: 0, rows: None, granted: false }
    }

    #[test]
    fn a_grant_lets_through_while_it_covers_and_no_longer() {
        let rule = |more: &str| {
            format!(
                "[[rule]]\nname = \"r\"\nbecause = \"B.\"\nverdict = \"allow\"\neffects = [\"read\"]\n{more}\n"
            )
        };
        let facts =
            Facts { effects: Effects::only(Effect::Read), reads: vec![table("t")], ..Facts::default() };
        let command = Command {
            step: firsthand_model::command::Step::Run,
            via: "simple",
            shape: Arc::new(Shape {
                tag: "SELECT".to_owned(),
                effects: Effects::only(Effect::Read),
                tables: Vec::new(),
                plain_read: true,
                coverage: Vec::new(),
                facts: Some(Arc::new(facts)),
            }),
            text: String::new(),
            original_digest: None,
            original_bytes: 0,
            parameters: Json::default(),
            claims: Json::default(),
            parameters_digest: None,
            names: Json::default(),
            transaction: Transaction::Idle,
            coverage: Vec::new(),
            original: None,
            access: None,
        };
        let session = session("a");
        for (grants, allows) in [("[\"a\"]", true), ("[\"*\"]", true), ("[\"b\"]", false)] {
            let rules = rules(&rule(&format!("grants = {grants}")));
            let verdict = |granted| {
                let now = UnixMicros(1);
                let ask = Ask { session: &session, command: &command, now, estimated_rows: None, granted };
                rules.decide(&ask).verdict
            };
            let granted = if allows { Verdict::Allow } else { Verdict::Deny };
            // More than once: what was decided is remembered.
            for _ in 0..2 {
                assert_eq!((verdict(false), verdict(true)), (Verdict::Deny, granted), "{grants}");
            }
        }
    }

    fn rules(text: &str) -> Rules {
        let file = RuleFile { name: "r.toml".to_owned(), text: text.to_owned() };
        Rules::new(Compiled::load(&[file], HashMap::new()).unwrap())
    }

    fn table(name: &str) -> Relation {
        let name = name.to_owned();
        Relation { name, schema: "public".to_owned(), oid: 1, ..Relation::default() }
    }

    /// One advice does not take the other back; and nobody is sent to a group in which nobody is.
    #[test]
    fn who_is_held_is_told_whom_to_ask_and_not_to_leave_a_part_out() {
        let held = |group: &str| {
            rules(&format!(
                "[[rule]]\nname = \"w\"\nbecause = \"B.\"\nverdict = \"allow\"\neffects = [\"write\"]\n\
                 [[rule]]\nname = \"h\"\nbecause = \"B.\"\nverdict = \"hold\"\neffects = [\"write\"]\ntables = [\"customers\"]\n\
                 approve = {{ group = \"dba\" }}\n[[group]]\nname = \"{group}\"\nmembers = [\"grace\"]\n"
            ))
        };
        let writes = vec![table("customers"), table("notes")];
        let facts = Facts { effects: Effects::only(Effect::Write), writes, ..Facts::default() };
        for (group, told) in [
            ("dba", "Ask somebody of the group dba to approve it."),
            ("ops", "Ask the operator who is to be in the group dba: nobody is."),
        ] {
            let (rules, session) = (held(group), session("a"));
            let judged = rules.judge(&session, &facts, UnixMicros(1), false);
            assert_eq!(judged.verdict, Verdict::Hold);
            assert_eq!(rules.advise(&session, &facts, UnixMicros(1), &judged), told);
        }
    }

    /// What is refused keeps its masks where that is not enforced, also if its rows cannot be told.
    #[test]
    fn what_is_observed_is_masked_although_it_is_refused() {
        let rules = rules(
            "[[label]]\nlabel = \"email\"\ncolumns = [\"customers.mail\"]\n\
             [[mask]]\nname = \"m\"\nbecause = \"B.\"\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n",
        );
        let mail = Column {
            schema: "public".to_owned(),
            relation: "customers".to_owned(),
            column: "mail".to_owned(),
            labels: Vec::new(),
        };
        rules.know("a", "a", vec![KnownColumn { column: mail, oid: 7, attnum: 2, behind: Vec::new() }]);
        let facts = Facts {
            effects: Effects::only(Effect::Read),
            reads: vec![table("customers")],
            output: Output::Untold("it may be anything"),
            ..Facts::default()
        };
        for mode in [Mode::Enforce, Mode::Observe] {
            let session = SessionFacts { mode, ..session("a") };
            let judged = rules.judge(&session, &facts, UnixMicros(1), false);
            assert_eq!(judged.verdict, Verdict::Deny);
            let mask = &judged.obligations.mask;
            let observed = mode == Mode::Observe;
            assert_eq!((mask.origins.contains_key(&(7, 2)), mask.scan), (observed, observed), "{mode:?}");
            assert!(mask.texts, "{mode:?}");
        }
        assert_eq!(rules.detecting(&session("a"), UnixMicros(1)), [Arc::from("m")]);
    }

    #[test]
    fn what_reads_no_relation_is_allowed_by_a_rule_with_a_name() {
        let facts = Facts { effects: Effects::only(Effect::Read), ..Facts::default() };
        let judged = rules("").judge(&session("a"), &facts, UnixMicros(1), false);
        assert_eq!((judged.verdict, &*judged.rule), (Verdict::Allow, "no-relation"));
    }

    #[test]
    fn what_is_compared_is_hashed_and_sessions_of_one_identity_share() {
        let shape = Arc::new(Shape {
            tag: String::new(),
            effects: Effects::NONE,
            tables: Vec::new(),
            plain_read: true,
            coverage: Vec::new(),
            facts: None,
        });
        let cache = Cache::default();
        let (one, again, other) = (session("a"), session("a"), session("b"));
        let hash = |session| cache.find(key(session, &shape)).0;
        assert_eq!(hash(&one), hash(&again));
        assert_ne!(hash(&one), hash(&other));
        assert_ne!(hash(&one), cache.find(Key { catalog: 1, ..key(&one, &shape) }).0);
        let keys: HashMap<OriginKey, ()> =
            [&one, &again].map(|s| ((Arc::clone(&s.identity), s.target.clone(), 0, 0), ())).into();
        assert_eq!(keys.len(), 1);
    }
}
