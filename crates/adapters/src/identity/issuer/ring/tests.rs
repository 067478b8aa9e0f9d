//! Keys as they come, go and stay away, against a site whose pages a test changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use firsthand_model::identity::IdentityKind;

use super::super::keys::Algorithm;
use super::super::mint::{NOW, Signer, ada, corp, set};
use super::*;

const DISCOVERY: &str = "https://id.corp.example/.well-known/openid-configuration";
const KEYS: &str = "https://id.corp.example/keys";

/// An issuer's site, whose pages a test changes; counts what is asked.
#[derive(Clone, Default)]
struct Site {
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    asked: Arc<AtomicU64>,
}

impl Site {
    fn put(&self, url: &str, page: &[u8]) {
        self.pages.lock().unwrap().insert(url.to_owned(), page.to_vec());
    }

    fn down(&self) {
        self.pages.lock().unwrap().clear();
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Fetch for Site {
    fn fetch<'a>(&'a self, url: &'a str, _: Option<&'a Path>) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let page = self.pages.lock().unwrap().get(url).cloned();
        Box::pin(std::future::ready(page.ok_or_else(|| "status 503".to_owned())))
    }
}

#[derive(Clone, Default)]
struct Watch(Arc<AtomicU64>);

impl Watch {
    fn advance(&self, length: Duration) {
        self.0.fetch_add(micros(length), Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn now(&self) -> UnixMicros {
        UnixMicros(NOW * 1_000_000)
    }

    fn mono(&self) -> MonoMicros {
        MonoMicros(self.0.load(Ordering::Relaxed))
    }
}

struct Rig {
    site: Site,
    watch: Watch,
    issuers: Arc<Issuers>,
}

fn rig(keys: KeysAt) -> Rig {
    let (site, watch) = (Site::default(), Watch::default());
    site.put(DISCOVERY, format!(r#"{{"issuer":"https://id.corp.example","jwks_uri":"{KEYS}"}}"#).as_bytes());
    let spec = IssuerSpec { keys, ..corp(&[&Signer::new("unused", Algorithm::Es256)]) };
    let pseudonym = Arc::new(|kind: IdentityKind, name: &str| format!("{}-{name}", kind.word()));
    let (fetch, clock) = (Box::new(site.clone()), Box::new(watch.clone()));
    Rig { site, watch, issuers: Arc::new(Issuers::new(vec![spec], fetch, clock, pseudonym)) }
}

impl Rig {
    fn look(&self, token: &str) -> Result<Identity, Fault> {
        self.issuers.identify(token, None, UnixMicros(NOW * 1_000_000))
    }

    /// What the background does for who waits, in its place.
    async fn waited(&self, token: &str) -> Result<Identity, Fault> {
        tokio::select! {
            () = Arc::clone(&self.issuers).keep_fresh() => unreachable!("it goes on for ever"),
            () = self.issuers.wait_for_key(token) => {}
        }
        self.look(token)
    }

    /// One fetch, if one is due.
    async fn tick(&self) -> bool {
        let list = self.issuers.list.load_full();
        let due = list[0].begin(self.watch.mono());
        if due {
            self.issuers.renew(&list[0]).await;
        }
        due
    }
}

#[tokio::test]
async fn keys_that_an_issuer_has_only_begun_to_use_are_waited_for() {
    let rig = rig(KeysAt::Discovery);
    let (first, second) = (Signer::new("k1", Algorithm::Es256), Signer::new("k2", Algorithm::EdDsa));
    rig.site.put(KEYS, &set(&[&first]));
    let (old, new) = (first.token(&ada()), second.token(&ada()));
    assert_eq!(rig.look(&old), Err(Fault::NoKeys), "nothing is fetched while somebody is looked at");
    assert!(rig.waited(&old).await.is_ok(), "the first one that comes waits for the first fetch");
    rig.site.put(KEYS, &set(&[&first, &second]));
    assert_eq!(rig.waited(&new).await, Err(Fault::Key), "not fetched again so soon");
    rig.watch.advance(UNKNOWN_REST);
    assert!(rig.waited(&new).await.is_ok());
    // What an issuer takes back is believed until the next fetch, and no longer.
    rig.site.put(KEYS, &set(&[&second]));
    assert!(rig.look(&old).is_ok());
    rig.watch.advance(REFRESH);
    assert!(rig.tick().await);
    assert_eq!(rig.look(&old), Err(Fault::Key));
}

#[tokio::test]
async fn tokens_with_made_up_keys_bring_few_fetches_and_nobody_waits_for_them() {
    let rig = rig(KeysAt::Url(KEYS.to_owned()));
    let (known, strange) = (Signer::new("k", Algorithm::Es256), Signer::new("x", Algorithm::Es256));
    rig.site.put(KEYS, &set(&[&known]));
    assert!(rig.waited(&known.token(&ada())).await.is_ok());
    let before = rig.site.asked();
    for number in 0..100 {
        let header = serde_json::json!({ "alg": "ES256", "kid": format!("guess-{number}") });
        assert_eq!(rig.waited(&strange.with_header(&header, &ada())).await, Err(Fault::Key));
    }
    assert_eq!(rig.site.asked(), before, "within the rest after a fetch");
    // One that could not be accepted anyway brings none.
    rig.watch.advance(UNKNOWN_REST);
    let mut late = ada();
    late["exp"] = serde_json::json!(NOW - 1000);
    assert!(rig.issuers.wants(&strange.token(&late)).is_none());
    assert!(rig.issuers.wants(&strange.token(&ada())).is_some());
}

#[tokio::test]
async fn keys_are_used_for_a_day_while_their_issuer_is_down() {
    let rig = rig(KeysAt::Discovery);
    let signer = Signer::new("k", Algorithm::Es256);
    let token = signer.token(&ada());
    rig.site.put(KEYS, &set(&[&signer]));
    assert!(rig.tick().await && rig.look(&token).is_ok());
    assert!(!rig.tick().await, "not due yet");
    rig.site.down();
    rig.watch.advance(REFRESH);
    assert!(rig.tick().await && rig.look(&token).is_ok(), "it fails, and the keys stay");
    assert!(!rig.tick().await, "not tried again at once");
    rig.watch.advance(RETRY);
    assert!(rig.tick().await);
    rig.watch.advance(KEEP - REFRESH - RETRY);
    assert!(rig.look(&token).is_ok());
    rig.watch.advance(Duration::from_micros(1));
    assert_eq!(rig.look(&token), Err(Fault::NoKeys));
    rig.site
        .put(DISCOVERY, format!(r#"{{"issuer":"https://id.corp.example","jwks_uri":"{KEYS}"}}"#).as_bytes());
    rig.site.put(KEYS, &set(&[&signer]));
    assert!(rig.tick().await && rig.look(&token).is_ok());
}

#[tokio::test]
async fn what_an_issuer_answers_wrongly_leaves_the_keys_it_had() {
    let rig = rig(KeysAt::Discovery);
    let signer = Signer::new("k", Algorithm::Es256);
    let token = signer.token(&ada());
    rig.site.put(KEYS, &set(&[&signer]));
    assert!(rig.tick().await);
    let evil = Signer::new("k", Algorithm::Es256);
    rig.site.put("https://evil.example/keys", &set(&[&evil]));
    for (at, page) in [
        (KEYS, "<html>"),
        (KEYS, r#"{"keys":[]}"#),
        (KEYS, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#),
        (DISCOVERY, r#"{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}"#),
        (DISCOVERY, r#"{"issuer":"https://id.corp.example/","jwks_uri":"https://evil.example/keys"}"#),
        (DISCOVERY, r#"{"jwks_uri":"https://evil.example/keys"}"#),
        (DISCOVERY, r#"{"issuer":"https://id.corp.example"}"#),
        (DISCOVERY, r#"{"issuer":"https://id.corp.example","jwks_uri":"http://127.0.0.1/keys"}"#),
    ] {
        rig.site.put(at, page.as_bytes());
        rig.watch.advance(REFRESH);
        assert!(rig.tick().await && rig.look(&token).is_ok(), "{page}");
        assert!(rig.look(&evil.token(&ada())).is_err(), "{page}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_issuers_that_stay() {
    let rig = rig(KeysAt::Url(KEYS.to_owned()));
    let signer = Signer::new("k", Algorithm::Es256);
    rig.site.put(KEYS, &set(&[&signer]));
    assert!(rig.tick().await);
    let spec = IssuerSpec { prefix: "c/".to_owned(), ..rig.issuers.list.load()[0].spec.clone() };
    rig.issuers.replace(vec![spec.clone()]);
    assert_eq!(rig.look(&signer.token(&ada())).unwrap().login, "c/ada");
    rig.issuers.replace(vec![IssuerSpec { keys: KeysAt::Discovery, ..spec }]);
    assert_eq!(rig.look(&signer.token(&ada())), Err(Fault::NoKeys), "they come from elsewhere now");
}
