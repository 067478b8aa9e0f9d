//! The file of all tokens, `data/tokens.json`: read whole, replaced whole, so that a crash leaves the old one or the new
//! one. In memory a snapshot that readers take without waiting.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use firsthand_model::time::UnixMicros;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::scram::{CryptoError, Verifier, b64, new_secret};
use super::token::{BadToken, Exchanged, NAME_BYTES_MAX, NewToken, SignedIn, State, Token, is_name};

/// The form of the file.
const VERSION: u32 = 1;
/// Permission bits of the group and of others: the file may have none of them.
const OTHERS: u32 = 0o077;
/// Exchanged tokens of one agent that hold at a time: as many as the people one agent works for at once. One that asks for more
/// forgets those it has.
const EXCHANGED_OF_ACTOR_MAX: usize = 64;
/// Exchanged tokens in all: the file is written whole for each of them, some 800 bytes per token, and 32 KiB where it has as many
/// groups and targets as it may have.
const EXCHANGED_MAX: usize = 1024;
/// Tokens by signing in of one person that hold at a time: their machines and browsers. Who needs more signs out somewhere.
const SIGNED_IN_OF_PERSON_MAX: usize = 32;
/// Tokens by signing in of all people: the file is written whole for each of them, as for exchanged ones.
const SIGNED_IN_MAX: usize = 4096;
/// Random bytes behind a name, in the login name of a token that nobody chose one for.
const RANDOM_NAME_BYTES: usize = 6;
/// A larger file is not one of ours: some 400 bytes per token.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file operation failed.
    #[error("token store {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read or change it: who can write it can let anybody in.
    #[error("token store {} has mode {mode:04o}: others than its owner may read or change it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what we write.
    #[error("token store {}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file is not as it was read: somebody else has written it, and nobody has looked at what it says now.
    #[error("token store {} was changed by somebody else", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A valid token of this name is there.
    #[error("there is a valid token `{0}` already")]
    Taken(String),
    /// No such token.
    #[error("there is no token `{0}`")]
    NotFound(String),
    /// It was revoked before.
    #[error("token `{0}` is revoked already")]
    RevokedBefore(String),
    /// As many exchanged ones are there as there may be: of this agent (`true`), or in all.
    #[error("{}", too_many(*.0))]
    TooMany(bool),
    /// As many that came by signing in are there as there may be: of this person (`true`), or in all.
    #[error("{}", too_many_signed_in(*.0))]
    TooManySignedIn(bool),
    /// It cannot be made as asked.
    #[error(transparent)]
    Bad(#[from] BadToken),
    /// No random bytes.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// Key of the made-up verifiers.
    #[serde(with = "b64")]
    decoy: [u8; 32],
    tokens: Vec<Token>,
}

impl Content {
    /// Whether it says the same.
    fn says(&self, other: &Self) -> bool {
        matches!((serde_json::to_vec(self), serde_json::to_vec(other)), (Ok(a), Ok(b)) if a == b)
    }
}

/// What readers see: the content and two ways to find a token in it.
pub(super) struct Snapshot {
    decoy: [u8; 32],
    tokens: Vec<Arc<Token>>,
    by_id: HashMap<String, Arc<Token>>,
    by_name: HashMap<String, Arc<Token>>,
}

impl Snapshot {
    fn of(content: Content) -> Self {
        let tokens: Vec<_> = content.tokens.into_iter().map(Arc::new).collect();
        let by_id = tokens.iter().map(|t| (t.id.clone(), Arc::clone(t))).collect();
        let mut by_name: HashMap<String, Arc<Token>> = HashMap::new();
        for token in &tokens {
            // The newest that is not revoked counts; a revoked one is found only so that the record can say so.
            let held = by_name.get(&token.name).is_some_and(|other| other.revoked.is_none());
            if !(held && token.revoked.is_some()) {
                by_name.insert(token.name.clone(), Arc::clone(token));
            }
        }
        Self { decoy: content.decoy, tokens, by_id, by_name }
    }

    fn content(&self) -> Content {
        Content {
            version: VERSION,
            decoy: self.decoy,
            tokens: self.tokens.iter().map(|t| Token::clone(t)).collect(),
        }
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Token>> {
        self.by_id.get(id)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<Token>> {
        self.by_name.get(name)
    }

    /// Whether a token may be used at `now`: one that came by exchange no longer than what was shown for it.
    pub(super) fn state(&self, token: &Token, now: UnixMicros) -> State {
        let parents = token.shown().filter(|shown| shown.issuer.is_none());
        let parents = parents.map(|shown| self.by_id(&shown.token).map_or(State::Revoked, |t| t.state(now)));
        std::iter::once(token.state(now)).chain(parents).find(|s| *s != State::Valid).unwrap_or(State::Valid)
    }

    pub(super) fn made_up(&self, name: &str) -> Verifier {
        Verifier::made_up(&self.decoy, name)
    }
}

/// A new token with its secret: the only time the secret is seen.
#[derive(Debug)]
pub struct Created {
    /// What was stored.
    pub token: Arc<Token>,
    /// What the holder presents.
    pub secret: firsthand_session::secret::Secret,
}

/// The store of a data folder.
pub struct TokenStore {
    path: PathBuf,
    snapshot: ArcSwap<Snapshot>,
    writing: Mutex<()>,
}

impl std::fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenStore({})", self.path.display())
    }
}

impl TokenStore {
    /// Opens the store of this data folder; makes an empty one on first use.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join("tokens.json");
        let content = match read(&path)? {
            Some(content) => content,
            None => {
                let _lock = lock(&path)?;
                match read(&path)? {
                    Some(content) => content,
                    None => {
                        let mut decoy = [0; 32];
                        rand::fill(&mut decoy).map_err(|_| CryptoError)?;
                        let content = Content { version: VERSION, decoy, tokens: Vec::new() };
                        write(&path, &content)?;
                        content
                    }
                }
            }
        };
        let snapshot = ArcSwap::from_pointee(Snapshot::of(content));
        Ok(Self { path, snapshot, writing: Mutex::default() })
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// When it cannot be read: then what was known stays.
    pub fn reload(&self) -> Result<(), StoreError> {
        self.adopt(self.read_again()?);
        Ok(())
    }

    /// What the file holds now, as a store of its own: to be looked at before it counts ([`TokenStore::adopt`]).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_again(&self) -> Result<Self, StoreError> {
        let content = read(&self.path)?.ok_or_else(|| StoreError::Io {
            path: self.path.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let snapshot = ArcSwap::from_pointee(Snapshot::of(content));
        Ok(Self { path: self.path.clone(), snapshot, writing: Mutex::default() })
    }

    /// From now on what was read counts.
    pub fn adopt(&self, read: Self) {
        self.snapshot.store(read.snapshot.load_full());
    }

    /// All tokens, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Token>> {
        self.snapshot.load().tokens.clone()
    }

    /// The token of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Token>> {
        self.snapshot.load().by_id(id).cloned()
    }

    /// Whether a token may be used at `now`: one that came by exchange no longer than what was shown for it.
    #[must_use]
    pub fn state(&self, token: &Token, now: UnixMicros) -> State {
        self.snapshot.load().state(token, now)
    }

    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Makes a token without storing it, so that the record can come first.
    ///
    /// # Errors
    /// [`StoreError::Bad`], [`StoreError::Taken`], [`StoreError::Crypto`].
    pub fn prepare(&self, new: &NewToken, by: &str, now: UnixMicros) -> Result<Created, StoreError> {
        self.made(new, (None, None), by, now)
    }

    /// Makes a token by exchange without storing it. Its login name is made here: that of who acts, and something random.
    ///
    /// # Errors
    /// As [`TokenStore::prepare`]; [`StoreError::TooMany`].
    pub fn prepare_exchanged(
        &self,
        new: &NewToken,
        exchanged: Exchanged,
        by: &str,
        now: UnixMicros,
    ) -> Result<Created, StoreError> {
        self.check_room(new, &exchanged, now)?;
        let mut random = [0u8; RANDOM_NAME_BYTES];
        rand::fill(&mut random).map_err(|_| CryptoError)?;
        let new = NewToken { name: login_of(&exchanged.actor, &random), ..new.clone() };
        self.made(&new, (Some(exchanged), None), by, now)
    }

    /// Makes a token for who has signed in without storing it. Its login name is made here, as that of an exchanged one.
    ///
    /// # Errors
    /// As [`TokenStore::prepare`]; [`StoreError::TooManySignedIn`].
    pub fn prepare_signed_in(
        &self,
        new: &NewToken,
        signed_in: SignedIn,
        by: &str,
        now: UnixMicros,
    ) -> Result<Created, StoreError> {
        let snapshot = self.snapshot.load();
        let (mut all, mut own) = (0, 0);
        for other in snapshot.tokens.iter().filter(|t| t.state(now) == State::Valid) {
            let Some(of) = &other.signed_in else { continue };
            all += 1;
            own += usize::from((&of.by.issuer, &of.subject) == (&signed_in.by.issuer, &signed_in.subject));
        }
        match (own >= SIGNED_IN_OF_PERSON_MAX, all >= SIGNED_IN_MAX) {
            (false, false) => {}
            (own, _) => return Err(StoreError::TooManySignedIn(own)),
        }
        let mut random = [0u8; RANDOM_NAME_BYTES];
        rand::fill(&mut random).map_err(|_| CryptoError)?;
        // The part behind the prefix: `corp/ada` can be no login name, and `ada` is told more of than nothing.
        let told = signed_in.person.rsplit('/').next().unwrap_or_default();
        let told = told.split('@').next().unwrap_or_default();
        let new = NewToken { name: signed_in_as(told, &random), ..new.clone() };
        self.made(&new, (None, Some(signed_in)), by, now)
    }

    fn check_room(&self, new: &NewToken, exchanged: &Exchanged, now: UnixMicros) -> Result<(), StoreError> {
        let snapshot = self.snapshot.load();
        let held = snapshot.tokens.iter().filter(|t| t.exchanged.is_some() && t.state(now) == State::Valid);
        let (mut all, mut own) = (0, 0);
        for token in held {
            all += 1;
            own += usize::from(token.kind == new.kind && token.names() == exchanged.actor);
        }
        match (own >= EXCHANGED_OF_ACTOR_MAX, all >= EXCHANGED_MAX) {
            (false, false) => Ok(()),
            (own, _) => Err(StoreError::TooMany(own)),
        }
    }

    fn made(
        &self,
        new: &NewToken,
        (exchanged, signed_in): (Option<Exchanged>, Option<SignedIn>),
        by: &str,
        now: UnixMicros,
    ) -> Result<Created, StoreError> {
        new.check()?;
        let created = timestamp(now);
        let expires = new.expires(created)?;
        self.check_free(&new.name, now)?;
        let secret = new_secret()?;
        let mut id = [0u8; 8];
        rand::fill(&mut id).map_err(|_| CryptoError)?;
        let token = Arc::new(Token {
            id: format!("tok-{:016x}", u64::from_be_bytes(id)),
            name: new.name.clone(),
            kind: new.kind,
            on_behalf_of: new.on_behalf_of.clone(),
            owner: new.owner.clone(),
            exchanged,
            signed_in,
            targets: new.targets.clone(),
            roles: new.roles.clone(),
            created,
            created_by: by.to_owned(),
            expires,
            revoked: None,
            scram: Verifier::of(&secret)?,
        });
        let secret = firsthand_session::secret::Secret::new(String::clone(&secret));
        Ok(Created { token, secret })
    }

    /// Stores a prepared token; it can be used once this returns. Passing ones that have ended are forgotten meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another took the name since, [`StoreError::Io`].
    pub fn add(&self, token: &Arc<Token>) -> Result<(), StoreError> {
        self.change(false, |content| {
            let now = micros(token.created);
            if content.tokens.iter().any(|t| t.name == token.name && t.state(now) == State::Valid) {
                return Err(StoreError::Taken(token.name.clone()));
            }
            content.tokens.retain(|t| !t.is_passing() || t.state(now) == State::Valid);
            content.tokens.push(Token::clone(token));
            Ok(())
        })
    }

    /// The token that `revoke` would end: by id, or the valid (else newest) one of that name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::RevokedBefore`].
    pub fn to_revoke(&self, name_or_id: &str) -> Result<Arc<Token>, StoreError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.by_id(name_or_id).or_else(|| snapshot.by_name(name_or_id));
        match found {
            None => Err(StoreError::NotFound(name_or_id.to_owned())),
            Some(token) if token.revoked.is_some() => Err(StoreError::RevokedBefore(token.name.clone())),
            Some(token) => Ok(Arc::clone(token)),
        }
    }

    /// Ends a token: no session opens with it, and commands of open ones are refused, once this returns.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    pub fn revoke(&self, id: &str, now: UnixMicros) -> Result<(), StoreError> {
        self.change(true, |content| match content.tokens.iter_mut().find(|t| t.id == id) {
            Some(token) => {
                token.revoked.get_or_insert(timestamp(now));
                Ok(())
            }
            None => Err(StoreError::NotFound(id.to_owned())),
        })
    }

    fn check_free(&self, name: &str, now: UnixMicros) -> Result<(), StoreError> {
        let snapshot = self.snapshot.load();
        match snapshot.by_name(name).filter(|t| t.state(now) == State::Valid) {
            Some(_) => Err(StoreError::Taken(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Reads, changes, writes: alone among threads (mutex) and processes (lock file).
    ///
    /// What another hand wrote counts once it was read again and compared with the record, not by the way: a file from a
    /// backup would bring back what has been revoked since. Only what `ends` something is done all the same, to what is in
    /// force and to what stands in the file.
    fn change(
        &self,
        ends: bool,
        change: impl Fn(&mut Content) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _thread = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _process = lock(&self.path)?;
        let known = self.snapshot.load().content();
        let mut content = match read(&self.path)? {
            Some(mut content) if !content.says(&known) => {
                if !ends {
                    return Err(StoreError::Foreign { path: self.path.clone() });
                }
                let mut known = known;
                change(&mut known)?;
                if change(&mut content).is_ok() {
                    write(&self.path, &content)?;
                }
                self.snapshot.store(Arc::new(Snapshot::of(known)));
                return Ok(());
            }
            Some(content) => content,
            None => known,
        };
        change(&mut content)?;
        write(&self.path, &content)?;
        self.snapshot.store(Arc::new(Snapshot::of(content)));
        Ok(())
    }
}

fn too_many(of_actor: bool) -> String {
    let (whose, most) =
        if of_actor { ("of one agent", EXCHANGED_OF_ACTOR_MAX) } else { ("in all", EXCHANGED_MAX) };
    format!("no more than {most} exchanged tokens {whose} hold at a time")
}

fn too_many_signed_in(of_person: bool) -> String {
    let (whose, most) =
        if of_person { ("of one person", SIGNED_IN_OF_PERSON_MAX) } else { ("in all", SIGNED_IN_MAX) };
    format!("no more than {most} tokens by signing in {whose} hold at a time")
}

/// A login name for who has signed in. It begins with `in-`, because rules look at login names: an issuer that calls somebody
/// `billing-bot` gives them no name of the kind that is made for a token of `billing-bot`.
fn signed_in_as(told: &str, random: &[u8]) -> String {
    let told = format!("in-{told}");
    login_of(if is_name(&told) { &told } else { "signed-in" }, random)
}

/// A login name for an exchanged token. Rules look at login names, too: so it begins with the actor's name or with nothing of it, and
/// a name that no login name can be (as issuers' have, with their prefix) is not made into one that might be another's.
fn login_of(actor: &str, random: &[u8]) -> String {
    let room = NAME_BYTES_MAX - 1 - 2 * random.len();
    let told = if is_name(actor) { actor.get(..room).unwrap_or(actor) } else { "exchanged" };
    let random = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{told}.{random}")
}

fn timestamp(at: UnixMicros) -> Timestamp {
    // Milliseconds are plenty for people, and make equal what is written and what is read.
    let millis = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

fn micros(at: Timestamp) -> UnixMicros {
    UnixMicros(u64::try_from(at.as_microsecond()).unwrap_or(0))
}

fn read(path: &Path) -> Result<Option<Content>, StoreError> {
    let fail = |source| StoreError::Io { path: path.to_owned(), source };
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
        Ok(about) if about.permissions().mode() & OTHERS != 0 => {
            let mode = about.permissions().mode() & 0o7777;
            return Err(StoreError::Exposed { path: path.to_owned(), mode });
        }
        Ok(about) if about.len() > FILE_BYTES_MAX => {
            return Err(damaged(format!("{} bytes are too many", about.len())));
        }
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(fail)?;
    let content: Content = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if content.version != VERSION {
        return Err(damaged(format!(
            "version {} was written by another version of Firsthand",
            content.version
        )));
    }
    Ok(Some(content))
}

fn write(path: &Path, content: &Content) -> Result<(), StoreError> {
    let fail = |source| StoreError::Io { path: path.to_owned(), source };
    let text = Zeroizing::new(serde_json::to_vec_pretty(content).map_err(|e| fail(e.into()))?);
    let temporary = path.with_extension("json.tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fail)?;
    // What a crash left of an earlier try may have had another mode.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(fail)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&temporary, path).map_err(fail)?;
    // The name is durable only once the folder is.
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(fail)
}

/// Waits for the lock of writers; it ends with the returned file. The token file itself cannot carry it, being replaced.
fn lock(path: &Path) -> Result<File, StoreError> {
    let path = path.with_extension("lock");
    let fail = |source| StoreError::Io { path: path.clone(), source };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(fail)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| fail(e.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::token::{Consent, How, Shown, TokenKind};
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);

    fn new(name: &str) -> NewToken {
        NewToken {
            on_behalf_of: Some("ada@example.com".to_owned()),
            targets: vec!["shop".to_owned()],
            ttl_seconds: Some(60),
            ..NewToken::new(name, TokenKind::Agent)
        }
    }

    fn create(store: &TokenStore, name: &str) -> Created {
        let created = store.prepare(&new(name), "root", NOW).unwrap();
        store.add(&created.token).unwrap();
        created
    }

    #[test]
    fn the_file_holds_no_secret_and_reads_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        let made = create(&store, "bot");
        let text = fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(!text.contains(made.secret.expose()));
        assert!(!text.contains(made.secret.expose().trim_start_matches("fh_")));
        let again = TokenStore::open(dir.path()).unwrap();
        assert_eq!(again.list(), store.list());
        assert!(again.list()[0].scram.fits(made.secret.expose()));
        let mode = fs::metadata(dir.path().join("tokens.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_can_reach_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        create(&store, "bot");
        let path = dir.path().join("tokens.json");
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o640, 0o644, 0o620, 0o602] {
            set(mode);
            let refused = TokenStore::open(dir.path()).unwrap_err();
            assert!(matches!(refused, StoreError::Exposed { mode: found, .. } if found == mode), "{refused}");
            assert!(store.reload().is_err() && store.list().len() == 1);
        }
        set(0o600);
        store.reload().unwrap();
    }

    #[test]
    fn a_name_is_taken_until_its_token_ends() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        let first = create(&store, "bot");
        assert!(matches!(store.prepare(&new("bot"), "root", NOW), Err(StoreError::Taken(_))));
        store.revoke(&first.token.id, NOW).unwrap();
        assert!(matches!(store.to_revoke("bot"), Err(StoreError::RevokedBefore(_))));
        let second = create(&store, "bot");
        assert_eq!(store.to_revoke("bot").unwrap().id, second.token.id);
        let later = UnixMicros(NOW.0 + 61_000_000);
        assert_eq!(second.token.state(later), State::Expired);
        store.prepare(&new("bot"), "root", later).unwrap();
    }

    fn exchanged(actor: &str, parents: [&str; 2]) -> Exchanged {
        let [subject, own] = parents
            .map(|id| Shown { token: id.to_owned(), issuer: id.is_empty().then(|| "corp".to_owned()) });
        let consent = Consent::Configuration;
        Exchanged { actor: actor.to_owned(), actor_by: own, subject_by: subject, consent, groups: Vec::new() }
    }

    #[test]
    fn an_exchanged_token_holds_as_long_as_what_was_shown_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        let (person, bot) = (create(&store, "ada"), create(&store, "bot"));
        let make = |parents| {
            let made = store.prepare_exchanged(&new(""), exchanged("bot", parents), "bot", NOW).unwrap();
            store.add(&made.token).unwrap();
            made.token
        };
        let by_both = make([&person.token.id, &bot.token.id]);
        let by_issuers = make(["", ""]);
        let by_nothing = make(["tok-0000000000000000", &bot.token.id]);
        assert!(by_both.name.starts_with("bot.") && by_both.name != by_issuers.name, "{}", by_both.name);
        let states = || [&by_both, &by_issuers, &by_nothing].map(|token| store.state(token, NOW));
        assert_eq!(states(), [State::Valid, State::Valid, State::Revoked]);
        store.revoke(&person.token.id, NOW).unwrap();
        assert_eq!(states(), [State::Revoked, State::Valid, State::Revoked]);
        let again = TokenStore::open(dir.path()).unwrap();
        assert_eq!(again.list(), store.list());
        assert_eq!(again.state(&by_both, NOW), State::Revoked);
    }

    #[test]
    fn so_many_exchanged_tokens_of_an_agent_hold_at_a_time_and_ended_ones_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        let ask = |actor: &str, now| {
            let made = store.prepare_exchanged(&new(""), exchanged(actor, ["", ""]), actor, now)?;
            store.add(&made.token)
        };
        for _ in 0..EXCHANGED_OF_ACTOR_MAX {
            ask("bot", NOW).unwrap();
        }
        assert!(matches!(ask("bot", NOW), Err(StoreError::TooMany(true))));
        ask("other", NOW).unwrap();
        create(&store, "bot");
        let later = UnixMicros(NOW.0 + 61_000_000);
        ask("bot", later).unwrap();
        let left: Vec<_> =
            store.list().iter().map(|t| (t.names().to_owned(), t.exchanged.is_some())).collect();
        assert_eq!(
            left,
            [("bot".to_owned(), false), ("bot".to_owned(), true)],
            "what an operator made stays"
        );
    }

    #[test]
    fn so_many_tokens_of_a_person_who_signed_in_hold_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        let ask = |subject: &str, now| {
            let signed_in = SignedIn {
                person: "corp/ada@example.com".to_owned(),
                subject: subject.to_owned(),
                by: Shown { token: String::new(), issuer: Some("corp".to_owned()) },
                algorithm: "ES256".to_owned(),
                how: How::Device,
                may_act: false,
                groups: Vec::new(),
            };
            let made = store.prepare_signed_in(&new(""), signed_in, "ada", now)?;
            store.add(&made.token)
        };
        for _ in 0..SIGNED_IN_OF_PERSON_MAX {
            ask("1", NOW).unwrap();
        }
        assert!(matches!(ask("1", NOW), Err(StoreError::TooManySignedIn(true))));
        ask("2", NOW).unwrap();
        ask("1", UnixMicros(NOW.0 + 61_000_000)).unwrap();
    }

    #[test]
    fn login_names_of_exchanged_tokens_are_fit_for_one() {
        let long = "n".repeat(NAME_BYTES_MAX);
        for (actor, begins) in [
            ("night-agent", "night-agent."),
            ("corp/system:serviceaccount:a:b", "exchanged."),
            ("-/root", "exchanged."),
            ("\u{e4}\u{20ac}", "exchanged."),
            (&*long, "nnnn"),
        ] {
            let login = login_of(actor, &[1, 2, 3, 4, 5, 255]);
            assert!(is_name(&login) && login.starts_with(begins), "{login}");
            assert!(login.ends_with(".0102030405ff"), "{login}");
        }
    }

    #[test]
    fn writers_of_several_processes_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // Each store is what a process has: its own snapshot and its own mutex.
        let stores: Vec<_> = (0..4).map(|_| TokenStore::open(dir.path()).unwrap()).collect();
        std::thread::scope(|scope| {
            for (i, store) in stores.iter().enumerate() {
                scope.spawn(move || {
                    for n in 0..5 {
                        let bot = store.prepare(&new(&format!("bot-{i}-{n}")), "root", NOW).unwrap();
                        // What the others have written is read before something is added to it.
                        while let Err(e) = store.add(&bot.token) {
                            assert!(matches!(e, StoreError::Foreign { .. }), "{e}");
                            store.reload().unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(TokenStore::open(dir.path()).unwrap().list().len(), 20);
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        create(&store, "bot");
        fs::write(dir.path().join("tokens.json.tmp"), b"{\"version\":1,").unwrap();
        let again = TokenStore::open(dir.path()).unwrap();
        assert_eq!(again.list().len(), 1);
        create(&again, "bot2");
        store.reload().unwrap();
        assert_eq!(store.list().len(), 2);
    }

    #[test]
    fn what_another_hand_wrote_does_not_count_by_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let store = TokenStore::open(dir.path()).unwrap();
        let bot = create(&store, "bot");
        let backup = fs::read(&path).unwrap();
        store.revoke(&bot.token.id, NOW).unwrap();
        fs::write(&path, backup).unwrap();
        let other = store.prepare(&new("other"), "root", NOW).unwrap();
        let refused = store.add(&other.token).unwrap_err();
        assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
        assert!(store.list()[0].revoked.is_some(), "what is in force is as it was");
        store.revoke(&bot.token.id, NOW).unwrap();
        assert!(TokenStore::open(dir.path()).unwrap().list()[0].revoked.is_some(), "what ends, ends");
        store.reload().unwrap();
        store.add(&other.token).unwrap();
    }

    #[test]
    fn a_damaged_file_is_named_and_a_reload_keeps_what_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = TokenStore::open(dir.path()).unwrap();
        create(&store, "bot");
        let path = dir.path().join("tokens.json");
        for bad in ["", "{", "[]", "{\"version\":2,\"decoy\":\"\",\"tokens\":[]}"] {
            fs::write(&path, bad).unwrap();
            let e = store.reload().unwrap_err().to_string();
            assert!(e.starts_with("token store ") && e.contains("tokens.json"), "{e}");
            assert_eq!(store.list().len(), 1);
        }
    }
}
