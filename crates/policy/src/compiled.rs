//! A policy ready to decide: Cedar policies checked against the schema, what their annotations say, and subsets of them
//! by target, effect and kind of thing, because Cedar looks at every policy it is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{
    ActionConstraint, Effect as CedarEffect, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint,
    Schema, ValidationMode, Validator,
};
use firsthand_model::amount::Each;
use firsthand_model::command::Effects;
use firsthand_model::decision::Verdict;
use firsthand_model::identity::{Identity, IdentityKind};
use firsthand_model::masking::{ColumnMask, Style};

use crate::cedar;
use crate::masks::strictest;
use crate::pattern::{ColumnPattern, Pattern};
use crate::reach::{Reach, Who};
use crate::read;
use crate::rule::{Approve, Bounds, Case, Document, Label, Mask, Problem, Use};
use crate::terms;
use crate::window::Window;
use crate::written_back;

/// What rules may speak of.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
/// Rules of one policy: each costs at every decision that is not in the cache.
const RULES_MAX: usize = 5_000;
/// Subsets kept: targets × effects × kinds of things.
const SUBSETS_MAX: usize = 20_000;

/// A file of a policy, as it was read from disk.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// Its name, for problems.
    pub name: String,
    /// Its text: TOML, or Cedar when the name ends in `.cedar`.
    pub text: String,
}

/// What a rule's annotations say.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Order in which rules were read: of several that refuse, the first is named.
    pub order: usize,
    /// Its name.
    pub name: Arc<str>,
    /// The sentence.
    pub because: Arc<str>,
    /// Firsthand's own.
    pub base: bool,
    /// Permits or forbids.
    pub permits: bool,
    /// It is about commands, not about masks or limits.
    pub decides: bool,
    /// Who must approve.
    pub(crate) hold: Option<Approve>,
    /// How to mask.
    pub style: Style,
    /// Look through unlabelled values too.
    pub detect: bool,
    /// Masked columns compared by.
    pub in_predicate: Use,
    /// Masked columns stored elsewhere.
    pub copied: Use,
    /// Masks written back.
    pub written_back: Use,
    /// Of a limit: how much.
    pub bounds: Bounds,
    /// File and line, or the file alone.
    pub place: String,
}

impl Meta {
    /// Whether it decides commands (and does not mask or limit).
    #[must_use]
    pub fn is_rule(&self) -> bool {
        self.decides
    }
}

/// The kinds of thing that a request can be about.
pub(crate) const THINGS: [&str; 5] = ["Target", "Table", "Column", "Function", "Setting"];
/// The actions, in the order of their numbers: the effects, then those that are none.
pub(crate) const ACTIONS: [&str; 13] = [
    "read",
    "write",
    "define",
    "grant",
    "execute",
    "session",
    "transaction",
    "lock",
    "system",
    "unknown",
    "ReadClear",
    "Unlimited",
    "call",
];

/// The effects, a bit each.
const COMMAND: u16 = (1 << 10) - 1;

/// A policy and the requests that it can be about.
struct Scoped {
    policy: Policy,
    actions: u16,
    things: u8,
    targets: Vec<Pattern>,
    base: bool,
    /// Written in Cedar by the operator.
    raw: bool,
}

/// Key of a subset: target, action, kind of thing.
type SubsetKey = (String, u8, u8);

/// A subset of the policies.
pub(crate) struct Subset {
    pub(crate) policies: PolicySet,
    /// Rules of the operator are in it.
    pub(crate) has_rules: bool,
}

/// A policy ready to decide.
pub struct Compiled {
    /// SHA-256 over all files, shortened: in every decision.
    pub version: Arc<str>,
    scoped: Vec<Scoped>,
    metas: HashMap<PolicyId, Arc<Meta>>,
    subsets: Mutex<HashMap<SubsetKey, Arc<Subset>>>,
    pub(crate) labels: Vec<Label>,
    pub(crate) groups: Vec<crate::rule::Group>,
    /// Windows of time.
    pub(crate) windows: Vec<Window>,
    /// Labels of targets.
    pub(crate) target_labels: HashMap<String, Vec<String>>,
    /// Whether a mask looks at columns themselves and not at labels alone.
    pub(crate) masks_by_column: bool,
    /// The columns that masks name themselves, for where no catalog lists a relation's columns.
    pub(crate) mask_columns: Vec<ColumnPattern>,
    /// Whether there are masks at all.
    pub(crate) has_masks: bool,
    /// What the rules can come to for somebody.
    pub(crate) reach: Reach,
    /// All labels that are spoken of: a value may turn out to have any of them.
    pub(crate) detectable: Vec<Arc<str>>,
    /// Whether a mask looks through unlabelled values.
    pub(crate) detects: bool,
    /// What those masks do with what is found, by label; `*` for all others.
    pub(crate) found: HashMap<String, ColumnMask>,
    /// Cases that stand beside the rules.
    pub cases: Vec<Case>,
    cedar: Vec<(String, String)>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Compiled {
    /// Reads, puts together and checks the files of a policy. `target_labels` are what the configuration says of targets.
    ///
    /// # Errors
    /// Every problem found.
    pub fn load(
        files: &[RuleFile],
        target_labels: HashMap<String, Vec<String>>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut documents, mut raw) = (Vec::new(), Vec::new());
        for file in files {
            if file.name.ends_with(".cedar") {
                raw.push(file);
                continue;
            }
            match read::read(&file.name, &file.text) {
                Ok(document) => documents.push(document),
                Err(mut found) => problems.append(&mut found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let document = read::merge(documents)?;
        let builder = Builder::default().document(&document).raw(&raw);
        builder.finish(files, document, target_labels)
    }

    /// Whether a limit sums something up over a day: then what was used earlier today has to be known.
    #[must_use]
    pub fn sums_days(&self) -> bool {
        self.metas.values().any(|meta| meta.bounds.day != Each::default())
    }

    /// Whether anybody at all is in a group.
    #[must_use]
    pub fn has_members(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g.name == group && !g.members.is_empty())
    }

    /// Who is named to approve, or to release: rule and group, in the order of the rules.
    #[must_use]
    pub fn asked(&self) -> Vec<(Arc<str>, String)> {
        let mut all = Vec::new();
        for meta in self.metas() {
            if let Some(approve) = &meta.hold {
                let groups = std::iter::once(&approve.group).chain(&approve.break_glass);
                all.extend(groups.map(|group| (Arc::clone(&meta.name), group.clone())));
            }
        }
        all
    }

    /// What the annotations of a policy say.
    pub(crate) fn meta(&self, id: &PolicyId) -> Option<&Arc<Meta>> {
        self.metas.get(id)
    }

    /// Whether these rules can ever let this identity change something there, perhaps by an approval. False: it may only
    /// read, whatever it asks.
    #[must_use]
    pub fn may_change(&self, identity: &Identity, target: &str, database: &str) -> bool {
        self.reach.may_change(&self.groups, &self.who(identity, target, database))
    }

    /// The kinds of identities whose writes are refused or held, and who may hide one in a statement of which nobody can tell
    /// what it does.
    #[must_use]
    pub fn gaps(&self) -> Vec<IdentityKind> {
        self.reach.gaps()
    }

    /// Whether this identity may have to wait for a person before it does something with these effects.
    #[must_use]
    pub fn may_hold(&self, identity: &Identity, target: &str, database: &str, effects: Effects) -> bool {
        self.reach.may_hold(&self.groups, &self.who(identity, target, database), effects)
    }

    /// Whether an estimate of rows can decide over something with these effects.
    #[must_use]
    pub fn counts_rows(&self, identity: &Identity, target: &str, database: &str, effects: Effects) -> bool {
        // Asked for every command, and most policies count none.
        self.reach.counts_at_all()
            && self.reach.counts_rows(&self.groups, &self.who(identity, target, database), effects)
    }

    fn who<'a>(&'a self, identity: &'a Identity, target: &'a str, database: &'a str) -> Who<'a> {
        let target_labels = self.target_labels.get(target).map(Vec::as_slice).unwrap_or_default();
        Who { identity, target, target_labels, database }
    }

    /// All rules, in order, Firsthand's own left out.
    pub fn metas(&self) -> Vec<Arc<Meta>> {
        let mut all: Vec<_> = self.metas.values().filter(|m| !m.base).cloned().collect();
        all.sort_by_key(|m| m.order);
        all
    }

    /// The Cedar text of every rule, by name; `firsthand.*` are Firsthand's own.
    pub fn cedar(&self) -> &[(String, String)] {
        &self.cedar
    }

    /// The policies that can matter to such a request.
    pub(crate) fn subset(&self, target: &str, action: u8, thing: u8) -> Arc<Subset> {
        let mut subsets = self.subsets.lock().unwrap_or_else(PoisonError::into_inner);
        if subsets.len() > SUBSETS_MAX {
            subsets.clear();
        }
        let key = (target.to_owned(), action, thing);
        Arc::clone(subsets.entry(key).or_insert_with(|| Arc::new(self.select(target, action, thing))))
    }

    fn select(&self, target: &str, action: u8, thing: u8) -> Subset {
        let fits = |s: &&Scoped| {
            s.actions & 1 << action != 0
                && s.things & 1 << thing != 0
                && (s.targets.is_empty() || s.targets.iter().any(|p| p.matches(target)))
        };
        let mut subset = Subset { policies: PolicySet::new(), has_rules: false };
        for scoped in self.scoped.iter().filter(fits) {
            subset.has_rules |= !scoped.base;
            // Ids are single: the builder has checked that. Should one be lost all the same, what it permits is lost with
            // it, and what it forbids was put into the whole set that was validated: the error is caught there.
            let _ = subset.policies.add(scoped.policy.clone());
        }
        subset
    }
}

/// Gathers policies.
#[derive(Default)]
struct Builder {
    scoped: Vec<Scoped>,
    metas: HashMap<PolicyId, Arc<Meta>>,
    cedar: Vec<(String, String)>,
    whole: PolicySet,
    problems: Vec<Problem>,
}

impl Builder {
    fn document(mut self, document: &Document) -> Self {
        let defaults = document.defaults.as_ref().map(|(d, _)| *d).unwrap_or_default();
        self.text("firsthand", &cedar::base(defaults), true);
        for rule in &document.rules {
            let place = format!("{}:{}", rule.place.file, rule.place.line);
            self.one(&place, &cedar::of_rule(rule), &rule.when.targets);
        }
        for mask in &document.masks {
            let place = format!("{}:{}", mask.place.file, mask.place.line);
            self.one(&place, &cedar::of_mask(mask), &mask.when.targets);
        }
        for limit in &document.limits {
            let place = format!("{}:{}", limit.place.file, limit.place.line);
            self.one(&place, &cedar::of_limit(limit), &limit.when.targets);
        }
        self
    }

    fn raw(mut self, files: &[&RuleFile]) -> Self {
        for file in files {
            self.text(&file.name, &file.text, false);
        }
        self
    }

    fn one(&mut self, place: &str, text: &str, targets: &[Pattern]) {
        match Policy::parse(None, text) {
            Ok(policy) => self.add(place, policy, false, targets.to_vec()),
            Err(e) => self.problem(place, format!("cannot be made into Cedar: {e}"), "please report this"),
        }
    }

    fn text(&mut self, place: &str, text: &str, base: bool) {
        let set: PolicySet = match text.parse() {
            Ok(set) => set,
            Err(e) => return self.problem(place, format!("is not Cedar: {e}"), "see docs.cedarpolicy.com"),
        };
        if set.templates().next().is_some() {
            self.problem(place, "has templates".into(), "write each policy out");
        }
        // Ids that the parser makes up stand in the order of the file.
        let mut policies: Vec<&Policy> = set.policies().collect();
        policies
            .sort_by_key(|p| p.id().to_string().trim_start_matches("policy").parse::<usize>().unwrap_or(0));
        for policy in policies {
            self.add(place, policy.clone(), base, Vec::new());
            if let Some(scoped) = self.scoped.last_mut() {
                scoped.raw = !scoped.base;
            }
        }
    }

    fn add(&mut self, place: &str, policy: Policy, base: bool, targets: Vec<Pattern>) {
        let Some(id) = policy.annotation("id").map(str::to_owned).filter(|id| !id.is_empty()) else {
            return self.problem(place, "a policy has no @id".into(), "write @id(\"its-name\") before it");
        };
        if !base && (id.starts_with("firsthand.") || read::RESERVED.contains(&id.as_str())) {
            return self.problem(place, format!("`{id}` is a name of Firsthand's own"), "choose another");
        }
        let policy = policy.new_id(PolicyId::new(&id));
        if self.whole.add(policy.clone()).is_err() {
            return self.problem(
                place,
                format!("`{id}` is taken by another rule"),
                "give each a name of its own",
            );
        }
        if self.scoped.len() >= RULES_MAX {
            return self.problem(
                place,
                format!("there are more than {RULES_MAX} rules"),
                "put patterns together",
            );
        }
        match meta(&policy, &id, base, self.scoped.len(), place) {
            Ok(meta) => drop(self.metas.insert(policy.id().clone(), Arc::new(meta))),
            Err(what) => return self.problem(place, what, "docs/policy.md describes the annotations"),
        }
        self.cedar.push((id, policy.to_cedar().unwrap_or_else(|| policy.to_string())));
        let (actions, things) = (actions(&policy), things(&policy));
        self.scoped.push(Scoped { policy, actions, things, targets, base, raw: false });
    }

    fn problem(&mut self, place: &str, what: String, hint: &str) {
        let (file, line) = match place.rsplit_once(':') {
            Some((file, line)) => (file, line.parse().unwrap_or(1)),
            None => (place, 1),
        };
        let (file, hint) = (file.to_owned(), hint.to_owned());
        self.problems.push(Problem { file, line, column: 1, key: String::new(), what, hint });
    }

    fn finish(
        mut self,
        files: &[RuleFile],
        document: Document,
        target_labels: HashMap<String, Vec<String>>,
    ) -> Result<Compiled, Vec<Problem>> {
        match Schema::from_cedarschema_str(SCHEMA) {
            Ok((schema, _)) => {
                let result = Validator::new(schema).validate(&self.whole, ValidationMode::Strict);
                let found: Vec<(PolicyId, String)> =
                    result.validation_errors().map(|e| (e.policy_id().clone(), e.to_string())).collect();
                for (id, what) in found {
                    let place = self.metas.get(&id).map(|m| m.place.clone()).unwrap_or_default();
                    self.problem(&place, format!("rule `{id}`: {what}"), "docs/policy.md shows the schema");
                }
            }
            Err(e) => self.problem("firsthand", format!("the schema: {e}"), "please report this"),
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let masks_clear = |m: &&Arc<Meta>| !m.base && !m.permits;
        let read_clear = 1u16 << 10;
        let is_mask = |s: &Scoped| !s.base && s.actions & read_clear != 0;
        let by_labels: Vec<&str> = document
            .masks
            .iter()
            .filter(|m| m.when.columns.is_empty() && !m.when.labels.is_empty())
            .map(|m| m.name.as_str())
            .collect();
        let masks: Vec<&Arc<Meta>> = self
            .scoped
            .iter()
            .filter(|s| is_mask(s))
            .filter_map(|s| self.metas.get(s.policy.id()))
            .filter(masks_clear)
            .collect();
        let masks_by_column = masks.iter().any(|m| !by_labels.contains(&&*m.name));
        let has_masks = !masks.is_empty();
        let detects = masks.iter().any(|m| m.detect);
        let named = document.masks.iter().flat_map(|m| m.when.labels.iter().map(String::as_str));
        let found: &[&str] = if detects { written_back::DETECTED } else { &[] };
        let named = named.chain(found.iter().copied());
        let given = document.labels.iter().map(|l| l.label.as_str());
        let mut detectable: Vec<Arc<str>> = named.chain(given).map(Arc::from).collect();
        detectable.sort();
        detectable.dedup();
        let reach = self.reach(&document);
        Ok(Compiled {
            version: version(files),
            reach,
            scoped: self.scoped,
            metas: self.metas,
            subsets: Mutex::default(),
            labels: document.labels,
            groups: document.groups,
            windows: document.windows,
            target_labels,
            masks_by_column,
            mask_columns: document.masks.iter().flat_map(|m| m.when.columns.iter().cloned()).collect(),
            has_masks,
            detectable,
            detects,
            found: found_masks(&document.masks),
            cases: document.cases,
            cedar: self.cedar,
        })
    }
}

impl Builder {
    fn reach(&self, document: &Document) -> Reach {
        let mut reach = Reach::of(document);
        for Scoped { policy, actions, .. } in self.scoped.iter().filter(|s| s.raw) {
            let held = self.metas.get(policy.id()).is_some_and(|meta| meta.hold.is_some());
            let verdict = match policy.effect() {
                CedarEffect::Permit => Verdict::Allow,
                CedarEffect::Forbid if held => Verdict::Hold,
                CedarEffect::Forbid => Verdict::Deny,
            };
            reach.add(actions & COMMAND, verdict, &policy.to_string());
        }
        let holds = |meta: &Meta| [meta.in_predicate, meta.copied, meta.written_back].contains(&Use::Hold);
        if self.metas.values().any(|meta| holds(meta)) {
            reach.masks_hold();
        }
        reach
    }
}

/// Masks of values that turn out to be something, by label. Whether values are looked through at all depends on who asks;
/// where several masks do, a value gets the one that leaves least.
fn found_masks(masks: &[Mask]) -> HashMap<String, ColumnMask> {
    let mut all: HashMap<String, ColumnMask> = HashMap::new();
    for mask in masks.iter().filter(|m| m.detect) {
        for label in &mask.when.labels {
            let new = ColumnMask {
                label: Arc::from(label.as_str()),
                rule: Arc::from(mask.name.as_str()),
                style: mask.style,
                formless: false,
            };
            let kept = all.entry(label.clone()).or_insert_with(|| new.clone());
            kept.style = strictest(kept.style, new.style);
        }
    }
    all
}

/// The digest of all files, names and order included.
fn version(files: &[RuleFile]) -> Arc<str> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for file in files {
        for part in [file.name.as_bytes(), file.text.as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    let digest = context.finish();
    let hex: String = digest.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect();
    Arc::from(hex)
}

fn meta(policy: &Policy, id: &str, base: bool, order: usize, place: &str) -> Result<Meta, String> {
    let text = |key: &str| policy.annotation(key);
    let number = |key: &str| match text(key) {
        None => Ok(None),
        Some(n) => n.parse::<u64>().map(Some).map_err(|_| format!("rule `{id}`: @{key} must be a number")),
    };
    let usage = |key: &str, usual: Use| match text(key) {
        None => Ok(usual),
        Some(word) => Use::parse(word).ok_or_else(|| format!("rule `{id}`: @{key}(\"{word}\") is not known")),
    };
    let style = match text("style") {
        None => Style::Redact,
        Some(word) => Style::ALL
            .into_iter()
            .find(|s| s.word() == word)
            .ok_or_else(|| format!("rule `{id}`: @style(\"{word}\") is not known"))?,
    };
    let permits = policy.effect() == CedarEffect::Permit;
    if permits && text("hold").is_some() {
        return Err(format!("rule `{id}`: @hold stands on a permit; only a forbid can hold"));
    }
    Ok(Meta {
        order,
        name: Arc::from(id),
        because: Arc::from(text("because").unwrap_or_default()),
        base,
        permits,
        decides: actions(policy) & COMMAND != 0,
        hold: text("hold").map(terms::read).transpose().map_err(|e| format!("rule `{id}`: {e}"))?,
        style,
        detect: text("detect") == Some("true"),
        in_predicate: usage("masked_in_predicate", Use::Record)?,
        copied: usage("masked_copied", Use::Deny)?,
        written_back: usage("masked_written_back", Use::Deny)?,
        bounds: Bounds::read(number)?,
        place: place.to_owned(),
    })
}

/// The actions that a policy can be about, a bit each.
fn actions(policy: &Policy) -> u16 {
    const ALL: u16 = (1 << ACTIONS.len()) - 1;
    const KNOWN: u16 = (1 << 9) - 1;
    let bits = |uid: &EntityUid| match uid.id().unescaped() {
        "command" => COMMAND,
        "known" => KNOWN,
        name => ACTIONS.iter().position(|a| *a == name).map_or(ALL, |at| 1 << at),
    };
    match policy.action_constraint() {
        ActionConstraint::Any => ALL,
        ActionConstraint::Eq(uid) => bits(&uid),
        ActionConstraint::In(list) => list.iter().fold(0, |all, uid| all | bits(uid)),
    }
}

/// The kinds of thing that a policy can be about, a bit each.
fn things(policy: &Policy) -> u8 {
    const ALL: u8 = (1 << THINGS.len()) - 1;
    let bit = |name: &str| THINGS.iter().position(|t| *t == name).map_or(ALL, |at| 1 << at);
    match policy.resource_constraint() {
        ResourceConstraint::Is(name) | ResourceConstraint::IsIn(name, _) => bit(name.basename()),
        ResourceConstraint::Any | ResourceConstraint::In(_) | ResourceConstraint::Eq(_) => ALL,
    }
}
