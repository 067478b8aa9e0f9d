//! What an approval is bound to (invariant 11), and which commands nobody could approve because nobody could see them whole.
//!
//! A keyed digest over everything that makes the command what it is: a statement of which one literal, one parameter's type,
//! the role or a table behind a name differs is another command. Never a fingerprint of the statement, which is the same for
//! any two that differ in their literals.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use firsthand_model::command::{Command, Effect};
use firsthand_model::decision::Decision;
use firsthand_model::preview::Original;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Relation;
use firsthand_session::port::Binding;

/// What the derived key is for, so that no other use of the folder's key gives the same bytes.
const USE: &[u8] = b"firsthand approvals 1";

/// Coverage facts of commands that the record, and so an approver, does not have as they run.
const UNSEEN: &[&str] = &[
    "text-cut",
    "text-withheld",
    "text-unknown",
    "text-doubtful",
    "parameters-cut",
    "parameters-withheld",
    "role-unknown",
];

pub(super) fn key(folder: &[u8]) -> hmac::Key {
    let folder = hmac::Key::new(hmac::HMAC_SHA256, folder);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&folder, USE).as_ref())
}

/// Why nobody could see all of what would run; `None`: it can be shown.
pub(super) fn unseen(command: &Command, original: Option<&Original>) -> Option<String> {
    if let Some(fact) = super::coverage(command).into_iter().find(|fact| UNSEEN.contains(fact)) {
        return Some(fact.to_owned());
    }
    if command.shape.facts.as_ref().is_some_and(|facts| facts.by_name) {
        return Some("it runs what another statement says, by a name".to_owned());
    }
    if command.via == "function" {
        return Some("it is a function call of the protocol, which has no text".to_owned());
    }
    if original.is_none_or(|original| original.settings.is_none()) {
        return Some(
            "what its session has set cannot be told, since code ran in it that nobody saw".to_owned(),
        );
    }
    // Of a statement about roles or servers it is only the secret. In a condition it may decide which rows are changed.
    let hides = original.is_some_and(|original| original.hides);
    if hides && command.shape.effects.has(Effect::Write) {
        return Some("a secret in it, which nobody is shown, may decide what it changes".to_owned());
    }
    let unread = !command.parameters.is_absent() && command.parameters_digest.is_none();
    unread.then(|| "its parameters were not seen as they came".to_owned())
}

struct Bound(hmac::Context);

impl Bound {
    /// Each part with its length in front: no two lists of parts read the same.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.part(text.as_bytes());
    }

    fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.number(texts.len() as u64);
        texts.for_each(|text| self.text(text));
    }

    fn number(&mut self, n: u64) {
        self.0.update(&n.to_be_bytes());
    }

    /// What decides what the command means, besides itself: what its session has set, what runs before it, and what its names
    /// stand for.
    fn original(&mut self, original: &Original, command: &Command) {
        let settings = original.settings.iter().flatten();
        self.number(settings.clone().count() as u64);
        for (name, value) in settings {
            self.text(name);
            self.text(value);
        }
        self.part(original.before.as_ref().map_or(&[], |digest| digest));
        if let (Some(definitions), Some(facts)) = (&original.definitions, &command.shape.facts) {
            self.part(&definitions.digest(facts));
        }
    }

    fn relations(&mut self, relations: &[Relation]) {
        self.number(relations.len() as u64);
        for Relation { schema, name, oid, .. } in relations {
            self.text(schema);
            self.text(name);
            self.number(u64::from(*oid));
        }
    }
}

pub(super) fn of(key: &hmac::Key, session: &SessionFacts, command: &Command, decision: &Decision) -> Binding {
    let mut bound = Bound(hmac::Context::with_key(key));
    let identity = &session.identity;
    // Not the credential: the same identity may come with another.
    let chain: Vec<_> = identity.chain.iter().filter(|link| !link.kind.proves()).collect();
    bound.number(chain.len() as u64);
    for link in chain {
        [link.kind.word(), &link.id, &link.name, link.trust.word()].iter().for_each(|part| bound.text(part));
    }
    for part in [&session.target, &session.database, &session.session_role, &session.role] {
        bound.text(part);
    }
    let statement = command
        .original_digest
        .map_or_else(|| digest(&SHA256, command.text.as_bytes()).as_ref().to_vec(), |digest| digest.to_vec());
    bound.part(&statement);
    bound.number(command.original_bytes);
    bound.part(command.parameters_digest.as_ref().map_or(&[], |digest| digest));
    bound.text(command.via);
    bound.number(u64::from(command.shape.effects.bits()));
    bound.texts(command.shape.tables.iter().map(String::as_str));
    match &command.shape.facts {
        None => bound.number(0),
        Some(facts) => {
            bound.number(1);
            bound.relations(&facts.reads);
            bound.relations(&facts.writes);
            bound.texts(facts.functions.iter().map(String::as_str));
            bound.texts(facts.settings.iter().map(String::as_str));
        }
    }
    if let Some(original) = &command.original {
        bound.original(original, command);
    }
    [&*decision.rule, &*decision.policy].iter().for_each(|part| bound.text(part));
    let mut out = [0; 32];
    out.iter_mut().zip(bound.0.sign().as_ref()).for_each(|(to, from)| *to = *from);
    Binding(out)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;

    use firsthand_model::command::Effects;
    use firsthand_model::json::Json;
    use firsthand_model::preview::Definitions;
    use firsthand_model::statement::Facts;
    use firsthand_model::target::{Durability, Mode};
    use firsthand_session::fake::{self, Disk, command, fakes, target};
    use firsthand_session::port::{Ask, Policy as _};

    use super::*;

    struct Defined;

    impl Definitions for Defined {
        fn look(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
            Box::pin(std::future::ready(true))
        }

        fn digest(&self, _: &Facts) -> [u8; 32] {
            [9; 32]
        }
    }

    fn decision(session: &SessionFacts, command: &Command) -> Decision {
        let now = firsthand_model::time::UnixMicros(0);
        fake::TextPolicy.decide(&Ask { session, command, now, estimated_rows: None, granted: false })
    }

    #[test]
    fn whatever_differs_is_bound_otherwise() {
        let f = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, _) = f.open();
        let (facts, first) = (session.facts(), command("DELETE HOLD where id = 1"));
        let said = decision(facts, &first);
        let key = key(&[7; 32]);
        let base = of(&key, facts, &first, &said);
        assert_eq!(base, of(&key, facts, &first.clone(), &said.clone()));
        assert_ne!(base, of(&super::key(&[8; 32]), facts, &first, &said), "the folder's key");

        type Change = fn(&mut Command);
        let changes: [(&str, Change); 12] = [
            ("a literal", |c| c.text = "DELETE HOLD where id = 2".to_owned()),
            ("a space", |c| c.text.push(' ')),
            ("the text behind what is shown", |c| c.original_digest = Some([1; 32])),
            ("the parameters", |c| c.parameters_digest = Some([1; 32])),
            ("the protocol's way", |c| c.via = "extended"),
            ("a setting", |c| {
                let settings = Some(vec![("datestyle".to_owned(), "iso".to_owned())]);
                c.original = Some(Arc::new(Original { settings, ..Original::default() }));
            }),
            ("what runs before it", |c| {
                let settings = Some(Vec::new());
                c.original =
                    Some(Arc::new(Original { settings, before: Some([1; 32]), ..Original::default() }));
            }),
            ("what its names stand for", |c| {
                Arc::make_mut(&mut c.shape).facts = Some(Arc::default());
                let (settings, definitions) = (Some(Vec::new()), Some(Arc::new(Defined) as Arc<_>));
                c.original = Some(Arc::new(Original { settings, definitions, ..Original::default() }));
            }),
            ("its effects", |c| Arc::make_mut(&mut c.shape).effects = Effects::NONE),
            ("a table", |c| Arc::make_mut(&mut c.shape).tables.push("t".to_owned())),
            ("what is known", |c| Arc::make_mut(&mut c.shape).facts = Some(Arc::default())),
            ("a table behind a name", |c| {
                let evil =
                    Relation { schema: "evil".to_owned(), name: "t".to_owned(), ..Relation::default() };
                let known = Facts { writes: vec![evil], ..Facts::default() };
                Arc::make_mut(&mut c.shape).facts = Some(Arc::new(known));
            }),
        ];
        let mut all = vec![base];
        for (what, change) in changes {
            let mut other = first.clone();
            change(&mut other);
            let bound = of(&key, facts, &other, &said);
            assert!(!all.contains(&bound), "{what}");
            all.push(bound);
        }
        let mut other = facts.with_role(&facts.role);
        let mut identity = (*other.identity).clone();
        identity.chain.retain(|link| !link.kind.proves());
        other.identity = Arc::new(identity);
        assert_eq!(of(&key, &other, &first, &said), base, "another token of the same identity");
        let role = of(&key, &facts.with_role("other"), &first, &said);
        let rule = of(&key, facts, &first, &Decision { rule: Arc::from("other"), ..said.clone() });
        let policy = of(&key, facts, &first, &Decision { policy: Arc::from("other"), ..said });
        for (what, bound) in [("role", role), ("rule", rule), ("policy", policy)] {
            assert!(!all.contains(&bound), "{what}");
            all.push(bound);
        }
    }

    #[test]
    fn what_cannot_be_shown_whole_cannot_be_approved() {
        let unseen = |command: &Command| unseen(command, command.original.as_deref());
        let plain = command("DELETE HOLD");
        assert_eq!(unseen(&plain), None);
        for fact in UNSEEN {
            let mut cut = plain.clone();
            cut.coverage.push(fact);
            assert!(unseen(&cut).is_some(), "{fact}");
        }
        let mut named = plain.clone();
        let facts = Facts { by_name: true, ..Facts::default() };
        Arc::make_mut(&mut named.shape).facts = Some(Arc::new(facts));
        assert!(unseen(&named).is_some());
        assert!(unseen(&Command { via: "function", ..plain.clone() }).is_some());
        assert!(unseen(&Command { original: None, ..plain.clone() }).is_some());
        let unsettled = Some(Arc::new(Original::default()));
        assert!(unseen(&Command { original: unsettled, ..plain.clone() }).is_some());
        let settings = Some(Vec::new());
        let hides = Some(Arc::new(Original { hides: true, settings, ..Original::default() }));
        assert!(unseen(&Command { original: hides, ..plain.clone() }).is_some());
        let mut call = plain;
        call.parameters = Json::from_written(b"[1]".to_vec());
        assert!(unseen(&call).is_some());
        call.parameters_digest = Some([0; 32]);
        assert_eq!(unseen(&call), None);
    }
}
