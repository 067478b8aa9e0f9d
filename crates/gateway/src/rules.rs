//! The rules in force: read from their files, replaced by a reload, or none.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use firsthand_adapters::approvals::Groups;
use firsthand_adapters::policy::{AllowTokenTargets, POLICY_VERSION};
use firsthand_auditlog::keys::KeyStore;
use firsthand_model::amount::Most;
use firsthand_model::command::{Command, Effects};
use firsthand_model::decision::{Decision, Obligations};
use firsthand_model::identity::Identity;
use firsthand_model::masking::MaskDuty;
use firsthand_model::session::SessionFacts;
use firsthand_model::time::UnixMicros;
use firsthand_policy::AGENTS;
use firsthand_policy::compiled::{Compiled, RuleFile};
use firsthand_policy::detect::{Detector, ScannedValues};
use firsthand_policy::rule::Problem;
use firsthand_policy::rules::Rules;
use firsthand_protocols::protocol::Learner;
use firsthand_session::port::{Ask, MaskPlan, Masker, Policy, Values};
use firsthand_session::veiled;
use firsthand_sql::catalog::Catalog;
use firsthand_sql::mask_connection;
use zeroize::Zeroizing;

use crate::analyst::columns;
use crate::config::Config;
use crate::failure::Failure;
use crate::shelf::Shelf;

/// A rule file longer than this is a mistake.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Rule files in a folder.
const FILES_MAX: usize = 1000;
/// Stands for a text that could not be looked through.
pub(crate) const WITHHELD: &str = "<masked>";
/// What problems call the shipped rules.
pub(crate) const SHIPPED: &str = "policy/agents.toml (shipped)";

/// Decides by the rules, or without any by what tokens name; and has the tools of the masks. Clones share one state.
#[derive(Clone)]
pub(crate) struct Governing {
    rules: Arc<ArcSwapOption<Ruled>>,
    plain: Arc<AllowTokenTargets>,
    detector: Arc<OnceLock<Arc<Detector>>>,
    /// The key of tokens; set once the data folder is open, before anybody is let in.
    key: Arc<OnceLock<Zeroizing<[u8; 32]>>>,
    /// Where catalogs are kept between two runs; set with the key.
    shelf: Arc<OnceLock<Shelf>>,
}

/// Rules with the tools of their masks.
struct Ruled {
    rules: Rules,
    /// The catalogs that the rules know, by target and database.
    catalogs: Mutex<HashMap<(String, String), Arc<Catalog>>>,
    values: OnceLock<Arc<dyn Values>>,
}

impl Governing {
    pub(crate) fn new(compiled: Option<Compiled>) -> Self {
        let governing = Self {
            rules: Arc::default(),
            plain: Arc::default(),
            detector: Arc::default(),
            key: Arc::default(),
            shelf: Arc::default(),
        };
        governing.replace(compiled);
        governing
    }

    /// The key of the tokens that stand for masked values.
    pub(crate) fn tokens_with(&self, key: Zeroizing<[u8; 32]>) {
        // A second one would change tokens under running sessions: the first stays.
        let _ = self.key.set(key);
    }

    /// Catalogs are kept there between two runs.
    pub(crate) fn keeps_on(&self, shelf: Shelf) {
        let _ = self.shelf.set(shelf);
    }

    /// Other rules from now on, for running sessions too. What was known of catalogs is known to the new ones.
    pub(crate) fn replace(&self, compiled: Option<Compiled>) {
        let rules = compiled.map(|compiled| {
            let rules = Rules::new(compiled);
            let mut catalogs = HashMap::new();
            if let Some(old) = self.rules.load().as_ref() {
                rules.know_as(&old.rules);
                catalogs.clone_from(&old.catalogs.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Arc::new(Ruled { rules, catalogs: Mutex::new(catalogs), values: OnceLock::new() })
        });
        self.rules.store(rules);
    }

    /// Whether a limit sums something up over a day.
    pub(crate) fn sums_days(&self) -> bool {
        self.rules.load().as_ref().is_some_and(|ruled| ruled.rules.with_compiled(Compiled::sums_days))
    }

    /// The rules in force, if there are some.
    pub(crate) fn with_compiled<T>(&self, read: impl FnOnce(Option<&Compiled>) -> T) -> T {
        match self.rules.load().as_ref() {
            Some(ruled) => ruled.rules.with_compiled(|compiled| read(Some(compiled))),
            None => read(None),
        }
    }

    /// The version of what decides.
    pub(crate) fn version(&self) -> Arc<str> {
        self.rules.load().as_ref().map_or_else(|| Arc::from(POLICY_VERSION), |ruled| ruled.rules.version())
    }

    /// A text as the record may have it: without secrets, and without what the masks of the rules find in it, whomever they are
    /// for. Who says it is no command, for which rules could be chosen.
    pub(crate) fn veiled(&self, text: &str) -> String {
        let text = mask_connection(text).unwrap_or_else(|| text.to_owned());
        let rules = self.rules.load();
        let Some(ruled) = rules.as_ref() else { return text };
        match self.values(ruled) {
            Some(values) => veiled(&text, &*values).unwrap_or(text),
            // What cannot be looked through cannot be said to hold nothing.
            None => WITHHELD.to_owned(),
        }
    }

    /// The tools: detection is built when it is first needed.
    fn values(&self, ruled: &Ruled) -> Option<Arc<dyn Values>> {
        let key = self.key.get()?;
        let values = ruled.values.get_or_init(|| {
            let detector = Arc::clone(self.detector.get_or_init(|| Arc::new(Detector::new())));
            Arc::new(ScannedValues::new(detector, ruled.rules.label_masks(), key.as_slice()))
        });
        Some(Arc::clone(values))
    }
}

impl Policy for Governing {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        match self.rules.load().as_ref() {
            Some(ruled) => ruled.rules.decide(ask),
            None => self.plain.decide(ask),
        }
    }

    fn may_change(&self, identity: &Identity, target: &str, database: &str) -> bool {
        let rules = self.rules.load();
        rules.as_ref().is_none_or(|ruled| ruled.rules.may_change(identity, target, database))
    }

    fn may_hold(&self, identity: &Identity, target: &str, database: &str, effects: Effects) -> bool {
        // Without rules nobody is asked about anything.
        let rules = self.rules.load();
        rules.as_ref().is_some_and(|ruled| ruled.rules.may_hold(identity, target, database, effects))
    }

    fn masks_of_rows(
        &self,
        session: &SessionFacts,
        table: (&str, &str),
        columns: &[&str],
        now: UnixMicros,
    ) -> Option<MaskDuty> {
        match self.rules.load().as_ref() {
            Some(ruled) => ruled.rules.masks_of_rows(session, table, columns, now),
            None => self.plain.masks_of_rows(session, table, columns, now),
        }
    }

    fn sessions_limit(&self, session: &SessionFacts, now: UnixMicros) -> Option<Most> {
        self.rules.load().as_ref().and_then(|ruled| ruled.rules.sessions_limit(session, now))
    }

    fn wants_estimate(&self, session: &SessionFacts, command: &Command) -> bool {
        self.rules.load().as_ref().is_some_and(|ruled| ruled.rules.wants_estimate(session, command))
    }
}

impl Groups for Governing {
    fn has_members(&self, group: &str) -> bool {
        self.rules.load().as_ref().is_some_and(|ruled| ruled.rules.has_members(group))
    }

    fn is_member(&self, group: &str, names: &[&str]) -> bool {
        self.rules.load().as_ref().is_some_and(|ruled| ruled.rules.is_member(group, names))
    }
}

impl Masker for Governing {
    fn plan(&self, obligations: &Arc<Obligations>) -> MaskPlan {
        let obligations = Arc::clone(obligations);
        if obligations.mask.is_empty() && !obligations.mask.texts {
            return MaskPlan { obligations, values: None };
        }
        // Without rules, or without tools, the duty stands and cannot be carried out: then the dialect refuses.
        let values = self.rules.load().as_ref().and_then(|ruled| self.values(ruled));
        MaskPlan { obligations, values }
    }
}

impl Learner for Governing {
    fn is_curious(&self) -> bool {
        self.rules.load().is_some()
    }

    fn learn(&self, target: &str, database: &str, catalog: &Arc<Catalog>) {
        let Some(ruled) = self.rules.load_full() else { return };
        let mut known = ruled.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target.to_owned(), database.to_owned());
        if catalog.is_known() && known.get(&key).is_none_or(|old| !Arc::ptr_eq(old, catalog)) {
            ruled.rules.know(target, database, columns(catalog));
            known.insert(key, Arc::clone(catalog));
        }
    }

    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        self.shelf.get()?.recall(key)
    }

    fn keep(&self, key: &str, bytes: &[u8]) {
        if let Some(shelf) = self.shelf.get() {
            shelf.keep(key, bytes);
        }
    }
}

/// The rules of a configuration, for a command line that has the data folder to itself.
pub(crate) fn alone(config: Option<&Config>, keys: &KeyStore) -> Result<Governing, Failure> {
    let governing = Governing::new(config.map(load).transpose()?.flatten());
    governing.tokens_with(keys.token_key());
    Ok(governing)
}

/// The rules that a configuration names.
///
/// # Errors
/// Every problem in them, with its place.
pub(crate) fn load(config: &Config) -> Result<Option<Compiled>, Failure> {
    let Some(policy) = &config.policy else { return Ok(None) };
    let mut files = Vec::new();
    if policy.shipped {
        files.push(shipped());
    }
    if let Some(dir) = &policy.dir {
        files.append(&mut read_folder(dir)?);
    }
    compile(&files, target_labels(config)).map(Some)
}

/// The rules that Firsthand ships.
pub(crate) fn shipped() -> RuleFile {
    RuleFile { name: SHIPPED.to_owned(), text: AGENTS.to_owned() }
}

/// Labels of targets, for rules.
pub(crate) fn target_labels(config: &Config) -> HashMap<String, Vec<String>> {
    config.targets.iter().map(|t| (t.target.name.clone(), t.labels.clone())).collect()
}

/// Puts rule files together.
///
/// # Errors
/// Every problem in them.
pub(crate) fn compile(files: &[RuleFile], labels: HashMap<String, Vec<String>>) -> Result<Compiled, Failure> {
    Compiled::load(files, labels).map_err(|problems| failure(&problems))
}

/// The rule files of a folder, in the order of their names.
///
/// # Errors
/// What cannot be read.
pub(crate) fn read_folder(dir: &Path) -> Result<Vec<RuleFile>, Failure> {
    let cannot = |what: String| Failure::usage(what, "name a folder with rule files (*.toml, *.cedar)");
    let entries =
        std::fs::read_dir(dir).map_err(|e| cannot(format!("cannot read {}: {e}", dir.display())))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| cannot(format!("cannot read {}: {e}", dir.display())))?.path();
        if path.extension().is_some_and(|e| e == "toml" || e == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(cannot(format!("there are no rule files in {}", dir.display())));
    }
    if paths.len() > FILES_MAX {
        return Err(cannot(format!("there are more than {FILES_MAX} rule files in {}", dir.display())));
    }
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let size = std::fs::metadata(&path).map_err(|e| cannot(format!("cannot read {name}: {e}")))?.len();
        if size > FILE_BYTES_MAX {
            return Err(cannot(format!("{name} is too large for rules")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| cannot(format!("cannot read {name}: {e}")))?;
        files.push(RuleFile { name, text });
    }
    Ok(files)
}

fn failure(problems: &[Problem]) -> Failure {
    if let [only] = problems {
        return Failure::usage(only.to_string(), only.hint.clone());
    }
    let messages = problems.iter().map(|p| format!("{p} ({})", p.hint)).collect();
    let hint = format!("{} places to change; docs/policy.md describes every key", problems.len());
    Failure { messages, ..Failure::usage("", hint) }
}
