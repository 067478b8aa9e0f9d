//! Evidence for somebody outside: one file with the entries of a range, what of their payloads may be shown, and what is needed to
//! check all of it (docs/evidence.md). First the entry that says so, durable, then the file; then a second entry with its digest.
//!
//! - `summary.rs`: what stands in the summary, gathered as entries go by; `page.rs` writes it, `requirements.rs` says which
//!   requirement is answered where.

mod page;
mod requirements;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firsthand_adapters::clock::wall;
use firsthand_adapters::policy::POLICY_VERSION;
use firsthand_auditlog::bundle::make::pack::{Pack, Packed};
use firsthand_auditlog::bundle::make::{self, MakeError, Maker, Part, Plan};
use firsthand_auditlog::bundle::manifest::{Asked, IDS_MAX, Manifest, inner};
use firsthand_auditlog::bundle::{MANIFEST, SMALL_BYTES_MAX, VERIFY_PY, WHOLE_BYTES_MAX, is_version};
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_auditlog::index::catalog::Catalog;
use firsthand_auditlog::io::{Io, RealIo, read_all};
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::matcher::identity_ids;
use firsthand_auditlog::search::query::Query;
use firsthand_auditlog::sign::serve;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::place::Place;
use crate::reading::{Room as _, not_understood, unreadable};
use crate::rules;
use crate::who;
use summary::Summary;

/// The name of the command in entries.
const COMMAND: &str = "evidence export";
/// How long the signer of a running gateway is waited for: it signs each second.
const SIGNED_WAIT: Duration = Duration::from_secs(5);
/// How often is looked.
const SIGNED_LOOK: Duration = Duration::from_millis(50);
/// How often the tiles are read anew, where a signer has replaced them meanwhile.
const TRIES: usize = 5;
/// What the members of people who unpack it read first.
const README: &str = include_str!("evidence/readme.txt");
/// What stands for rules where there are none.
const NO_RULES: &str = "# Without rule files: a token opens the targets that it names. Nothing is held for approval, and nothing is masked.\n";

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) identity: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) payloads: bool,
    pub(crate) file: PathBuf,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) packed: Packed,
    pub(crate) manifest: Manifest,
}

/// An export as its entries tell of it: `done` is absent in the one before, and there in the one after.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exporting {
    command: String,
    from: Option<String>,
    to: Option<String>,
    ids: Option<Vec<String>>,
    target: Option<String>,
    payloads: bool,
    name: Option<String>,
    file: String,
    done: Option<Finished>,
}

/// What it came to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Finished {
    bytes: u64,
    disclosed: u64,
    entries: u64,
    erased: u64,
    scoped: u64,
    sha256: String,
    withheld: u64,
}

impl Exporting {
    /// The facts of the leaf: nothing personal.
    pub(crate) fn leaf(&self) -> Value {
        // Sorted here: the record wants its keys in order, and a JSON object keeps that of insertion.
        let mut facts: BTreeMap<String, Value> =
            BTreeMap::from([("command".to_owned(), json!(self.command))]);
        let mut add =
            |key: &str, value: Option<Value>| value.map(|value| facts.insert(key.to_owned(), value));
        add("from", self.from.as_ref().map(|t| json!(t)));
        add("ids", self.ids.as_ref().map(|ids| json!(ids)));
        add("payloads", self.payloads.then(|| json!(true)));
        add("target", self.target.as_ref().map(|t| json!(t)));
        add("to", self.to.as_ref().map(|t| json!(t)));
        if let Some(done) = &self.done {
            add("done", Some(json!(true)));
            if let Ok(Value::Object(counts)) = serde_json::to_value(done) {
                facts.extend(counts);
            }
        }
        facts.into_iter().collect()
    }

    /// The rest.
    pub(crate) fn detail(&self) -> Value {
        match &self.name {
            Some(name) => json!({ "file": self.file, "name": name }),
            None => json!({ "file": self.file }),
        }
    }
}

/// Makes the file.
pub(crate) fn export(place: &Place, wanted: &Wanted) -> Result<Made, Failure> {
    if wanted.file.exists() {
        return Err(Failure::new(
            format!("{} is there already", wanted.file.display()),
            "name another file with -o; evidence is not overwritten",
        ));
    }
    let now = wall().0;
    let reader = place.reader()?;
    let catalog = Catalog::load(&reader).map_err(|e| unreadable(&e))?;
    let asked = asked(wanted, &reader, &catalog, now)?;
    let mut exporting = Exporting {
        command: COMMAND.to_owned(),
        from: asked.from.map(rfc3339),
        to: asked.to.map(rfc3339),
        ids: asked.identity.clone(),
        target: wanted.target.clone(),
        payloads: wanted.payloads,
        name: wanted.identity.clone(),
        file: wanted.file.display().to_string(),
        done: None,
    };
    let runs = place.note_export(&exporting)?;
    if runs {
        until_signed(&reader, &place.data_dir)?;
    }
    let made = Making { place, wanted, asked: &asked, reader: &reader, catalog: &catalog, now }.make()?;
    exporting.done = Some(finished(&made));
    place.note_export(&exporting)?;
    Ok(made)
}

fn finished(made: &Made) -> Finished {
    let sum = |of: fn(&firsthand_auditlog::bundle::manifest::EpochPart) -> u64| {
        made.manifest.epochs.iter().map(of).sum()
    };
    Finished {
        bytes: made.packed.bytes,
        disclosed: sum(|p| p.disclosed),
        entries: sum(|p| p.end - p.first),
        erased: sum(|p| p.erased),
        scoped: sum(|p| p.scoped),
        sha256: made.packed.sha256.clone(),
        withheld: sum(|p| p.withheld),
    }
}

/// The scope: times made absolute, a name made the pseudonyms that leaves have.
fn asked(wanted: &Wanted, reader: &Reader, catalog: &Catalog, now: u64) -> Result<Asked, Failure> {
    let time = |key: &str, text: &Option<String>| {
        let term = text
            .as_ref()
            .map(|text| format!("{key}:\"{}\"", text.replace(['"', '\\'], "")))
            .unwrap_or_default();
        Query::parse(&term, now).map_err(not_understood)
    };
    let (from, to) = (time("since", &wanted.from)?.since, time("until", &wanted.to)?.until);
    let to = to.unwrap_or(now);
    if from.is_some_and(|from| from >= to) {
        return Err(Failure::usage("the range ends before it begins", "--from is the earlier of the two"));
    }
    let ids = |name: &String| {
        let mut ids = identity_ids(name, reader.keys().map(|keys| &**keys), catalog.names());
        let begins = |known: &&str| ids.iter().any(|id| known.starts_with(id.as_str()));
        let known: Vec<String> =
            catalog.names().iter().map(|(id, _)| id).filter(begins).map(str::to_owned).collect();
        ids.extend(known);
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let identity = wanted.identity.as_ref().map(ids);
    if identity.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
        return Err(Failure::usage(
            format!("more than {IDS_MAX} identities are called so"),
            "give the whole id, as `firsthand log search` shows it",
        ));
    }
    Ok(Asked {
        from,
        identity,
        name: wanted.identity.as_deref().map(inner),
        target: wanted.target.as_deref().map(inner),
        to: Some(to),
    })
}

/// Waits until what stands in the log now is signed. Where that takes too long, the bundle says how much is not.
fn until_signed(reader: &Reader, data: &Path) -> Result<(), Failure> {
    let Some(last) = reader.segments().map_err(|e| unreadable(&e))?.pop() else { return Ok(()) };
    let mut cursor = reader.from_segment(last).map_err(|e| unreadable(&e))?;
    let mut size = 0;
    let mut epoch = last.epoch;
    while let Some(stored) = cursor.next().map_err(|e| unreadable(&e))? {
        (epoch, size) = (stored.place.epoch, stored.place.position + 1);
    }
    let until = Instant::now() + SIGNED_WAIT;
    while Instant::now() < until {
        let newest = serve::checkpoint(&**reader.io(), data, epoch).ok().flatten();
        if newest.is_some_and(|(_, signed)| signed >= size) {
            break;
        }
        std::thread::sleep(SIGNED_LOOK);
    }
    Ok(())
}

/// All that is at hand while it is made.
struct Making<'a> {
    place: &'a Place,
    wanted: &'a Wanted,
    asked: &'a Asked,
    reader: &'a Reader,
    catalog: &'a Catalog,
    now: u64,
}

impl Making<'_> {
    fn make(&self) -> Result<Made, Failure> {
        let (plan, ranges) = self.ranges()?;
        let mut pack = Pack::create(&self.wanted.file, self.now / 1_000_000).map_err(not_made)?;
        let mut maker = Maker::new(self.reader, self.catalog, self.asked, self.wanted.payloads);
        let mut summary = Summary::default();
        let mut manifest = Manifest {
            by: inner(&who::unix_user(who::own_uid())),
            made: self.now,
            origin: origin(&plan),
            scope: self.asked.clone(),
            unsigned: plan.unsigned,
            ..Manifest::default()
        };
        let mut written = || -> Result<(), MakeError> {
            pack.whole("README.txt", README.as_bytes())?;
            pack.whole("verify.py", VERIFY_PY.as_bytes())?;
            self.trust(&mut pack)?;
            for (part, range) in plan.parts.iter().zip(&ranges) {
                let folder = format!("e{}", part.epoch);
                pack.whole(&format!("{folder}/checkpoint"), part.note.as_bytes())?;
                pack.whole(&format!("{folder}/range.json"), range.to_json().as_bytes())?;
                let key = self.file(&serve::folder(&self.place.data_dir, part.epoch).join("vkey"))?;
                pack.whole(&format!("{folder}/vkey"), &key)?;
                manifest.epochs.push(maker.part(&mut pack, part, range, &mut summary)?);
            }
            self.policies(&mut pack, &maker, &mut manifest)?;
            let page = page::write(&summary, &manifest);
            pack.whole("summary.html", page.as_bytes())?;
            pack.whole(MANIFEST, manifest.to_json().as_bytes())
        };
        written().map_err(not_made)?;
        let packed = pack.finish().map_err(not_made)?;
        Ok(Made { packed, manifest })
    }

    /// Which entries, and what is left and right of them. A signer that goes on meanwhile may replace the tiles of the
    /// checkpoint that was read: then both are read anew.
    fn ranges(&self) -> Result<(Plan, Vec<firsthand_auditlog::bundle::range::Range>), Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let plan =
                make::plan(self.reader, self.catalog, &self.place.data_dir, self.asked).map_err(not_made)?;
            let range = |part: &Part| make::range(self.reader.io(), &self.place.data_dir, part);
            match plan.parts.iter().map(range).collect::<Result<Vec<_>, _>>() {
                Ok(ranges) => return Ok((plan, ranges)),
                Err(MakeError::Tiles { .. }) if tries < TRIES => {}
                Err(e) => return Err(not_made(e)),
            }
        }
    }

    /// A small file; empty where there is none.
    fn file(&self, path: &Path) -> Result<Vec<u8>, MakeError> {
        let io = RealIo::new();
        match io.open(path, false).and_then(|file| read_all(&*file, SMALL_BYTES_MAX)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(MakeError::Io { path: path.to_owned(), source: e })
            }
            other => Ok(other.unwrap_or_default()),
        }
    }

    /// The keys of the log, and the policy of its operator.
    fn trust(&self, pack: &mut Pack) -> Result<(), MakeError> {
        pack.whole("keys", &self.file(&self.place.data_dir.join("tlog").join("keys"))?)?;
        let policy = self.file(&self.place.data_dir.join("signer").join("policy"))?;
        if policy.is_empty() { Ok(()) } else { pack.whole("policy", &policy) }
    }

    /// The rules that decided, as far as the configuration still has them.
    fn policies(&self, pack: &mut Pack, maker: &Maker<'_>, manifest: &mut Manifest) -> Result<(), MakeError> {
        let current = self.place.config.as_ref().and_then(current_rules);
        for version in &maker.policies {
            let text = match &current {
                _ if version == POLICY_VERSION => Some(NO_RULES.to_owned()),
                Some((known, text)) if known == version => Some(text.clone()),
                _ => None,
            };
            match text.filter(|text| is_version(version) && text.len() as u64 <= WHOLE_BYTES_MAX) {
                Some(text) => {
                    pack.whole(&format!("policies/{version}"), text.as_bytes())?;
                    manifest.policies.push(version.clone());
                }
                None => manifest.missing.push(version.clone()),
            }
        }
        Ok(())
    }
}

/// The rules that the configuration names now: their version, and their text.
fn current_rules(config: &crate::config::Config) -> Option<(String, String)> {
    let version = rules::load(config).ok().flatten()?.version.to_string();
    let policy = config.policy.as_ref()?;
    let mut files = Vec::new();
    if policy.shipped {
        files.push(rules::shipped());
    }
    if let Some(dir) = &policy.dir {
        files.append(&mut rules::read_folder(dir).ok()?);
    }
    let texts: Vec<String> = files.iter().map(|file| format!("# {}\n{}\n", file.name, file.text)).collect();
    Some((version, texts.concat()))
}

/// The log's name, as it stands between quotes: that of a tree without its epoch.
fn origin(plan: &Plan) -> String {
    let name = plan.parts.first().map(|part| part.origin.as_str()).unwrap_or_default();
    inner(name.rsplit_once("/e").map_or(name, |(base, _)| base))
}

fn not_made(e: MakeError) -> Failure {
    let hint = match &e {
        MakeError::Read(e) => return unreadable(e),
        MakeError::Io { .. } => "check the folder of -o, and the disk",
        MakeError::Empty => "firsthand serve writes the first entries",
        MakeError::Unsigned(_) => {
            "start the gateway, which signs its log; or name a range (--from) behind that epoch"
        }
        MakeError::Tiles { .. } | MakeError::Altered(_) | MakeError::Leaf(_) => {
            "firsthand verify DATA says what is wrong with the log"
        }
        MakeError::TooMuch(_) => "name a shorter range with --from and --to",
    };
    Failure::new(format!("no evidence was made: {e}"), hint)
}
