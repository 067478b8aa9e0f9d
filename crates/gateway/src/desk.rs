//! Administrative acts, the same whether the gateway does them for the admin socket or the command line does them itself:
//! first the entry, durable, then the act.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use firsthand_adapters::clock::wall;
use firsthand_adapters::containment::{Contained, Containment};
use firsthand_adapters::identity::store::{Created, StoreError, TokenStore};
use firsthand_adapters::identity::token::{Exchanged, NewToken, SignedIn, Token, TokenKind};
use firsthand_adapters::record::{Record, kind_letter};
use firsthand_auditlog::keys::KeyStore;
use firsthand_model::event::{Administered, By, Event};
use firsthand_model::identity::IdentityKind;
use firsthand_model::json::{Json, Object};
use firsthand_session::port::{Need, RecordError, Recorder, Ticket, Waiting};
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Failure, only_for_its_owner};

/// How long an act waits for the one before it. Each takes milliseconds; where one takes this long, the disk hangs.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long an entry may take to become durable: longer than the recorder's own limit on a disk that does not answer, because
/// a disk without room has none.
const RECORD_WAIT_MAX: Duration = Duration::from_secs(12);
/// How often the recorder is asked meanwhile: only then it says that it gives up.
const RECORD_LOOK: Duration = Duration::from_millis(500);

/// Does administrative acts.
pub(crate) struct Desk {
    pub(crate) tokens: Arc<TokenStore>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) contained: Arc<Containment>,
    /// Held from the look whether something may be done until it is: two at once would both be recorded and one be done.
    turn: tokio::sync::Mutex<()>,
    turn_wait: Duration,
    record_wait: Duration,
}

impl Desk {
    /// Over an open record.
    pub(crate) fn over(record: &Record, tokens: Arc<TokenStore>, contained: Arc<Containment>) -> Self {
        Self {
            tokens,
            contained,
            recorder: record.recorder().clone(),
            keys: Arc::clone(record.keys()),
            turn: tokio::sync::Mutex::default(),
            turn_wait: TURN_WAIT_MAX,
            record_wait: RECORD_WAIT_MAX,
        }
    }

    /// Waits until no act on tokens is under way, and keeps others from beginning one.
    pub(crate) async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Failure> {
        timeout(self.turn_wait, self.turn.lock()).await.map_err(|_| {
            Failure::later(
                "another act on tokens does not come to its end, so this one was not begun",
                "its disk may hang: /readyz says how the log is",
            )
            .there()
        })
    }

    /// Makes a token. What is returned holds the secret: the only time it is seen.
    pub(crate) async fn create_token(&self, new: &NewToken, by: &By) -> Result<Created, Failure> {
        let _turn = self.turn().await?;
        let told = [Some(&new.name), new.owner.as_ref(), new.on_behalf_of.as_ref()];
        no_token(told.into_iter().flatten())?;
        self.must_not_be_contained(&[Some(&new.name), new.on_behalf_of.as_deref()])?;
        let created = self.tokens.prepare(new, &by.link.name, wall()).map_err(store_failure)?;
        self.add("identity.token_created", created, by).await
    }

    /// Makes a token for who acts for a person, both of whom were proved.
    pub(crate) async fn exchange_token(
        &self,
        new: &NewToken,
        exchanged: Exchanged,
        by: &By,
    ) -> Result<Created, Failure> {
        let _turn = self.turn().await?;
        let shown = [&exchanged.actor, &exchanged.actor_by.token, &exchanged.subject_by.token];
        let shown = shown.map(|name| Some(name.as_str()));
        self.must_not_be_contained(&[&shown[..], &[new.on_behalf_of.as_deref()]].concat())?;
        let created = self.tokens.prepare_exchanged(new, exchanged, &by.link.name, wall());
        self.add("identity.token_exchanged", created.map_err(store_failure)?, by).await
    }

    /// Makes a token for a person who has signed in at their issuer.
    pub(crate) async fn sign_in_token(
        &self,
        new: &NewToken,
        signed_in: SignedIn,
        by: &By,
    ) -> Result<Created, Failure> {
        let _turn = self.turn().await?;
        if let Some(contained) = self.contained.of_identity(&[&signed_in.person]) {
            return Err(is_contained(&contained));
        }
        let created = self.tokens.prepare_signed_in(new, signed_in, &by.link.name, wall());
        self.add("identity.token_signed_in", created.map_err(store_failure)?, by).await
    }

    async fn add(&self, kind: &'static str, created: Created, by: &By) -> Result<Created, Failure> {
        let token = Arc::clone(&created.token);
        self.begin(kind, by, &token).await?;
        let tokens = Arc::clone(&self.tokens);
        match apart(move || tokens.add(&token)).await {
            Ok(()) => Ok(created),
            Err(failure) => Err(self.undone(&created.token, by, failure).await),
        }
    }

    /// Nobody gets a new token while they are contained.
    fn must_not_be_contained(&self, names: &[Option<&str>]) -> Result<(), Failure> {
        let names: Vec<&str> = names.iter().copied().flatten().collect();
        let Some(contained) = self.contained.of_identity(&names) else { return Ok(()) };
        Err(is_contained(&contained))
    }

    /// Ends a token.
    pub(crate) async fn revoke_token(&self, name_or_id: &str, by: &By) -> Result<Arc<Token>, Failure> {
        let _turn = self.turn().await?;
        let token = self.tokens.to_revoke(name_or_id).map_err(store_failure)?;
        self.begin("identity.token_revoked", by, &token).await?;
        let (tokens, id) = (Arc::clone(&self.tokens), token.id.clone());
        match apart(move || tokens.revoke(&id, wall())).await {
            Ok(()) => Ok(token),
            Err(failure) => Err(self.undone(&token, by, failure).await),
        }
    }

    /// Records an act on a token and waits until that is durable. Where it does not become so in time it may yet, and the act is
    /// not done: then the record says that, too.
    async fn begin(&self, kind: &'static str, by: &By, token: &Token) -> Result<(), Failure> {
        let ticket = self.queue(kind, by, token_leaf(&self.keys, token), token_payload(token))?;
        let durable = self.durable(ticket).await;
        if durable.is_err() {
            let _ = self.queue(FAILED, by, token_leaf(&self.keys, token), token_payload(token));
        }
        durable
    }

    /// An act that is recorded could not be done: the record says so.
    async fn undone(&self, token: &Token, by: &By, mut failure: Failure) -> Failure {
        let leaf = token_leaf(&self.keys, token);
        if let Err(not_told) = self.record(FAILED, by, leaf, token_payload(token)).await {
            failure.messages.extend(not_told.messages);
        }
        failure
    }

    /// Records an act and waits until that is durable.
    pub(crate) async fn record(
        &self,
        kind: &'static str,
        by: &By,
        leaf: Json,
        payload: Json,
    ) -> Result<(), Failure> {
        let ticket = self.queue(kind, by, leaf, payload)?;
        self.durable(ticket).await
    }

    /// Queues the entry of an act. Its order against all others is fixed now.
    pub(crate) fn queue(
        &self,
        kind: &'static str,
        by: &By,
        leaf: Json,
        payload: Json,
    ) -> Result<Ticket, Failure> {
        let event = Event::Administered(Box::new(Administered { kind, by: by.clone(), leaf, payload }));
        self.recorder.append(event, Need::Fact).map_err(|e| not_recorded(&e))
    }

    /// Waits until an entry is durable, for a bounded time.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), Failure> {
        let mut waiting = Waiting::default();
        let mut durable =
            pin!(poll_fn(|cx| self.recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx)));
        let end = Instant::now() + self.record_wait;
        loop {
            let look = (Instant::now() + RECORD_LOOK).min(end);
            match timeout_at(look, durable.as_mut()).await {
                Ok(durable) => return durable.map_err(|e| not_recorded(&e)),
                Err(_) if Instant::now() >= end => return Err(not_recorded(&RecordError::TimedOut)),
                Err(_) => {}
            }
        }
    }
}

fn is_contained(contained: &Contained) -> Failure {
    Failure::new(
        format!("{} is contained ({}), so no token is made for it", contained.name, contained.id),
        format!("firsthand contain lift {} lifts it", contained.id),
    )
}

/// Stands before the ids of owners: a team is none of the kinds of identity.
const OWNER_LETTER: char = 'o';
/// Kind of the entry that takes back what one before it says of a token.
const FAILED: &str = "identity.token_failed";

/// Changes the file of tokens on a thread that may wait for a disk: those that serve must not.
pub(crate) async fn apart(
    change: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> Result<(), Failure> {
    let broken = |_| Failure::later("the gateway failed while it did this", "its messages say more").there();
    tokio::task::spawn_blocking(change).await.map_err(broken)?.map_err(store_failure)
}

/// What an entry says of a token without naming anybody.
pub(crate) fn token_leaf(keys: &KeyStore, token: &Token) -> Json {
    let mut text = Vec::with_capacity(200);
    let id = |kind: IdentityKind, name: &str| keys.identity_id(kind_letter(kind), name);
    let mut o = Object::open(&mut text);
    let (exchanged, signed_in) = (token.exchanged.as_ref(), token.signed_in.as_ref());
    if let Some(exchanged) = exchanged {
        if let Some(issuer) = &exchanged.actor_by.issuer {
            o.string("actor_issuer", issuer);
        }
        o.string("actor_tok", &id(IdentityKind::Token, &exchanged.actor_by.token));
        o.string("consent", exchanged.consent.word());
    }
    if let Some(signed_in) = signed_in {
        o.string("alg", &signed_in.algorithm);
    }
    if let Some(end) = token.expires {
        o.string("expires", &end.to_string());
    }
    o.string("for", &id(token.kind.identity(), token.names()));
    if let Some(signed_in) = signed_in {
        o.string("how", signed_in.how.word());
    }
    o.string("kind", kind_word(token.kind));
    if let Some(owner) = &token.owner {
        o.string("owner", &keys.identity_id(OWNER_LETTER, owner));
    }
    if let Some(who) = &token.on_behalf_of {
        o.string("person", &id(IdentityKind::Human, who));
    }
    if !token.roles.is_empty() {
        o.strings("roles", &token.roles.iter().map(|role| role.word()).collect::<Vec<_>>());
    }
    let person_by = exchanged.map(|it| &it.subject_by).or(signed_in.map(|it| &it.by));
    if let Some(shown) = person_by {
        if let Some(issuer) = &shown.issuer {
            o.string("subject_issuer", issuer);
        }
        o.string("subject_tok", &id(IdentityKind::Token, &shown.token));
    }
    o.strings("targets", &token.targets);
    o.string("tok", &id(IdentityKind::Token, &token.id));
    o.close();
    Json::from_written(text)
}

pub(crate) fn token_payload(token: &Token) -> Json {
    let mut text = Vec::with_capacity(120);
    let mut o = Object::open(&mut text);
    if let Some(exchanged) = &token.exchanged {
        o.string("actor", &exchanged.actor);
        o.string("actor_token", &exchanged.actor_by.token);
    }
    o.string("id", &token.id);
    o.string("login", &token.name);
    if let Some(who) = &token.on_behalf_of {
        o.string("on_behalf_of", who);
    }
    if let Some(owner) = &token.owner {
        o.string("owner", owner);
    }
    if let Some(signed_in) = &token.signed_in {
        o.string("person", &signed_in.person);
        o.string("subject", &signed_in.subject);
        o.string("subject_token", &signed_in.by.token);
    }
    if let Some(exchanged) = &token.exchanged {
        o.string("subject_token", &exchanged.subject_by.token);
    }
    o.close();
    Json::from_written(text)
}

/// The word for a kind of token.
pub(crate) const fn kind_word(kind: TokenKind) -> &'static str {
    kind.identity().word()
}

fn not_recorded(e: &RecordError) -> Failure {
    Failure::later(
        format!("this could not be recorded, so it was not done: {e}"),
        "look at the disk of the data folder; /readyz says how the log is",
    )
    .there()
}

/// What a failure of the store means to whoever asked.
pub(crate) fn store_failure(e: StoreError) -> Failure {
    let hint = match &e {
        StoreError::Taken(name) => {
            format!("revoke it first (firsthand token revoke {name}), or choose another name")
        }
        StoreError::NotFound(_) | StoreError::RevokedBefore(_) => {
            "firsthand token list shows them".to_owned()
        }
        StoreError::TooMany(_) => "use those that are there; each ends by itself, within the hour".to_owned(),
        StoreError::TooManySignedIn(_) => {
            "firsthand logout ends one where it was made, and an administrator revokes others; each ends by itself"
                .to_owned()
        }
        StoreError::Bad(_) => "firsthand token create --help describes the arguments".to_owned(),
        StoreError::Io { .. } | StoreError::Crypto(_) => {
            "check that the data folder can be written by this user".to_owned()
        }
        StoreError::Exposed { path, .. } => only_for_its_owner(path),
        StoreError::Foreign { .. } => {
            "send the gateway SIGHUP: it reads the file again and compares it with the record; then try again"
                .to_owned()
        }
        StoreError::Damaged { .. } => "restore the file from a backup; no token works without it".to_owned(),
    };
    match e {
        StoreError::Bad(_) => Failure::usage(e.to_string(), hint),
        StoreError::Io { .. }
        | StoreError::Crypto(_)
        | StoreError::Exposed { .. }
        | StoreError::Foreign { .. }
        | StoreError::Damaged { .. } => Failure::later(e.to_string(), hint).there(),
        StoreError::Taken(_)
        | StoreError::NotFound(_)
        | StoreError::RevokedBefore(_)
        | StoreError::TooMany(_)
        | StoreError::TooManySignedIn(_) => Failure::new(e.to_string(), hint),
    }
}

/// What goes into entries in clear text is none of the tokens that open something.
pub(crate) fn no_token<'t>(mut told: impl Iterator<Item = &'t String>) -> Result<(), Failure> {
    if told.any(|text| firsthand_sql::holds_token(text)) {
        return Err(Failure::usage(
            "a token stands where a name or a reason belongs",
            "give the name; a token that has been shown where it does not belong should be revoked",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use firsthand_adapters::containment::{Contained, Of};
    use firsthand_adapters::identity::token::{Consent, Shown};
    use firsthand_auditlog::io::RealIo;
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    /// A log that takes entries. They become durable, or never do.
    struct Log {
        hangs: bool,
        kinds: Mutex<Vec<String>>,
    }

    impl Recorder for Log {
        fn append(&self, event: Event, _: Need) -> Result<Ticket, RecordError> {
            let Event::Administered(event) = event else { return Err(RecordError::Overloaded) };
            self.kinds.lock().unwrap().push(event.kind.to_owned());
            Ok(Ticket(0))
        }

        fn is_durable(&self, _: Ticket) -> bool {
            !self.hangs
        }

        fn poll_room(&self, _: usize, _: &mut Waiting, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }

        fn poll_durable(
            &self,
            _: Ticket,
            _: Need,
            _: &mut Waiting,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), RecordError>> {
            if self.hangs { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    fn desk(data: &std::path::Path, hangs: bool) -> (Desk, Arc<Log>) {
        let log = Arc::new(Log { hangs, kinds: Mutex::default() });
        let desk = Desk {
            tokens: Arc::new(TokenStore::open(data).unwrap()),
            contained: Arc::new(Containment::open(data).unwrap()),
            recorder: log.clone(),
            keys: Arc::new(KeyStore::open(data, Arc::new(RealIo::new())).unwrap()),
            turn: tokio::sync::Mutex::default(),
            turn_wait: Duration::from_millis(1),
            record_wait: Duration::from_millis(1),
        };
        (desk, log)
    }

    fn new(name: &str) -> NewToken {
        NewToken { targets: vec!["shop".to_owned()], ..NewToken::new(name, TokenKind::Agent) }
    }

    #[tokio::test]
    async fn a_log_that_hangs_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let (desk, log) = desk(dir.path(), true);
        let by = crate::who::own(&desk.keys);
        let failure = desk.create_token(&new("bot"), &by).await.unwrap_err();
        assert!(failure.later && failure.to_string().contains("so it was not done"), "{failure}");
        assert!(desk.tokens.list().is_empty());
        // The first may become durable yet: then the second does, too.
        assert_eq!(*log.kinds.lock().unwrap(), ["identity.token_created", "identity.token_failed"]);
    }

    #[tokio::test]
    async fn who_waits_behind_an_act_that_hangs_is_answered_and_the_act_is_done_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (desk, log) = desk(dir.path(), false);
        let desk = Arc::new(desk);
        // Where another process has this lock, the file is waited for as it is on a disk that hangs.
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.path().join("tokens.lock"))
            .unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let first = Arc::clone(&desk);
        let first = tokio::spawn(async move {
            let by = crate::who::own(&first.keys);
            first.create_token(&new("first"), &by).await.map(|created| created.token.name.clone())
        });
        while log.kinds.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let by = crate::who::own(&desk.keys);
        let failure = desk.create_token(&new("second"), &by).await.unwrap_err();
        assert!(failure.later && failure.to_string().contains("was not begun"), "{failure}");
        drop(lock);
        assert_eq!(first.await.unwrap().unwrap(), "first");
        assert_eq!(desk.create_token(&new("third"), &by).await.unwrap().token.name, "third");
        assert_eq!(*log.kinds.lock().unwrap(), ["identity.token_created"; 2]);
    }

    #[tokio::test]
    async fn nobody_gets_a_token_by_exchange_while_one_of_them_is_contained() {
        let dir = tempfile::tempdir().unwrap();
        let (desk, log) = desk(dir.path(), false);
        let by = crate::who::own(&desk.keys);
        let shown = |token: &str| Shown { token: token.to_owned(), issuer: None };
        let exchanged = || Exchanged {
            actor: "bot".to_owned(),
            actor_by: shown("tok-actor"),
            subject_by: shown("tok-subject"),
            consent: Consent::Configuration,
            groups: Vec::new(),
        };
        let wanted =
            || NewToken { on_behalf_of: Some("ada".to_owned()), ttl_seconds: Some(60), ..new("bot-for-ada") };
        for name in ["bot", "ada", "tok-actor", "tok-subject"] {
            let one = Contained {
                id: "ct-1".to_owned(),
                of: Of::Identity,
                name: name.to_owned(),
                ids: Vec::new(),
                since: "2026-11-28T00:00:00Z".to_owned(),
                by: "ops".to_owned(),
                reason: String::new(),
                blocks: true,
            };
            desk.contained.add(one);
            let failure = desk.exchange_token(&wanted(), exchanged(), &by).await.unwrap_err();
            assert!(failure.to_string().contains("is contained"), "{name}: {failure}");
        }
        assert!(log.kinds.lock().unwrap().is_empty());
    }
}
