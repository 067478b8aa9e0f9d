//! Administrative acts, the same whether the gateway does them for the admin socket or the command line does them itself:
//! first the entry, durable, then the act.

use std::future::poll_fn;
use std::sync::Arc;

use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::store::{Created, StoreError, TokenStore};
use firsthand_adapters::identity::token::{NewToken, Token, TokenKind};
use firsthand_adapters::record::{Record, kind_letter};
use firsthand_auditlog::keys::KeyStore;
use firsthand_model::event::{Administered, By, Event};
use firsthand_model::identity::IdentityKind;
use firsthand_model::json::{Json, Object};
use firsthand_session::port::{Need, RecordError, Recorder, Waiting};

use crate::failure::{Failure, only_for_its_owner};

/// Does administrative acts.
pub(crate) struct Desk {
    pub(crate) tokens: Arc<TokenStore>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) keys: Arc<KeyStore>,
    /// Held from the look whether something may be done until it is: two at once would both be recorded and one be done.
    turn: tokio::sync::Mutex<()>,
}

impl Desk {
    /// Over an open record.
    pub(crate) fn over(record: &Record, tokens: Arc<TokenStore>) -> Self {
        Self {
            tokens,
            recorder: record.recorder().clone(),
            keys: Arc::clone(record.keys()),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Makes a token. What is returned holds the secret: the only time it is seen.
    pub(crate) async fn create_token(&self, new: &NewToken, by: &By) -> Result<Created, Failure> {
        let _turn = self.turn.lock().await;
        let created = self.tokens.prepare(new, &by.link.name, wall()).map_err(store_failure)?;
        let token = &created.token;
        self.record("identity.token_created", by, self.token_leaf(token), token_payload(token)).await?;
        match self.tokens.add(token) {
            Ok(()) => Ok(created),
            Err(e) => Err(self.undone(token, by, e).await),
        }
    }

    /// Ends a token.
    pub(crate) async fn revoke_token(&self, name_or_id: &str, by: &By) -> Result<Arc<Token>, Failure> {
        let _turn = self.turn.lock().await;
        let token = self.tokens.to_revoke(name_or_id).map_err(store_failure)?;
        self.record("identity.token_revoked", by, self.token_leaf(&token), token_payload(&token)).await?;
        match self.tokens.revoke(&token.id, wall()) {
            Ok(_) => Ok(token),
            Err(e) => Err(self.undone(&token, by, e).await),
        }
    }

    /// An act that is recorded could not be done: the record says so.
    async fn undone(&self, token: &Token, by: &By, why: StoreError) -> Failure {
        let mut failure = store_failure(why);
        let told =
            self.record("identity.token_failed", by, self.token_leaf(token), token_payload(token)).await;
        if let Err(not_told) = told {
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
        let event = Event::Administered(Box::new(Administered { kind, by: by.clone(), leaf, payload }));
        let ticket = self.recorder.append(event, Need::Fact).map_err(|e| not_recorded(&e))?;
        let mut waiting = Waiting::default();
        poll_fn(|cx| self.recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx))
            .await
            .map_err(|e| not_recorded(&e))
    }

    fn token_leaf(&self, token: &Token) -> Json {
        let mut text = Vec::with_capacity(200);
        let id = |kind: IdentityKind, name: &str| self.keys.identity_id(kind_letter(kind), name);
        let mut o = Object::open(&mut text);
        if let Some(end) = token.expires {
            o.string("expires", &end.to_string());
        }
        o.string("for", &id(token.kind.identity(), &token.name));
        o.string("kind", kind_word(token.kind));
        if let Some(who) = &token.on_behalf_of {
            o.string("person", &id(IdentityKind::Human, who));
        }
        if !token.roles.is_empty() {
            o.strings("roles", &token.roles.iter().map(|role| role.word()).collect::<Vec<_>>());
        }
        o.strings("targets", &token.targets);
        o.string("tok", &id(IdentityKind::Token, &token.id));
        o.close();
        Json::from_written(text)
    }
}

fn token_payload(token: &Token) -> Json {
    let mut text = Vec::with_capacity(120);
    let mut o = Object::open(&mut text);
    o.string("id", &token.id);
    o.string("login", &token.name);
    if let Some(who) = &token.on_behalf_of {
        o.string("on_behalf_of", who);
    }
    o.close();
    Json::from_written(text)
}

/// The word for a kind of token.
pub(crate) const fn kind_word(kind: TokenKind) -> &'static str {
    kind.identity().word()
}

fn not_recorded(e: &RecordError) -> Failure {
    Failure::new(
        format!("this could not be recorded, so it was not done: {e}"),
        "look at the disk of the data folder and at the gateway's /readyz",
    )
}

/// What a failure of the store means to whoever asked.
pub(crate) fn store_failure(e: StoreError) -> Failure {
    let hint = match &e {
        StoreError::Taken(name) => {
            format!("revoke it first (firsthand token revoke {name}), or choose another name")
        }
        StoreError::NotFound(_) | StoreError::RevokedBefore(_) => {
            "firsthand token list shows the tokens of this data folder".to_owned()
        }
        StoreError::Bad(_) => "firsthand token create --help describes the arguments".to_owned(),
        StoreError::Io { .. } | StoreError::Crypto(_) => {
            "check that the data folder can be written by this user".to_owned()
        }
        StoreError::Exposed { path, .. } => only_for_its_owner(path),
        StoreError::Damaged { .. } => "restore the file from a backup; no token works without it".to_owned(),
    };
    match e {
        StoreError::Bad(_) => Failure::usage(e.to_string(), hint),
        _ => Failure::new(e.to_string(), hint),
    }
}
