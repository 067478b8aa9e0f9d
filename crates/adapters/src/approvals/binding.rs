//! What an approval is bound to (invariant 11), and which commands nobody could approve because nobody could see them whole.
//!
//! A keyed digest over everything that makes the command what it is: a statement of which one literal, one parameter's type,
//! the role or a table behind a name differs is another command. Never a fingerprint of the statement, which is the same for
//! any two that differ in their literals.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use firsthand_model::command::Command;
use firsthand_model::decision::Decision;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Relation;
use firsthand_session::port::Binding;

/// What the derived key is for, so that no other use of the folder's key gives the same bytes.
const USE: &[u8] = b"firsthand approvals 1";

/// Coverage facts of commands that the record, and so an approver, does not have as they run.
const UNSEEN: &[&str] =
    &["text-cut", "text-withheld", "text-unknown", "text-doubtful", "parameters-cut", "parameters-withheld"];
/// Words by which a statement names another one, that was sent earlier.
const BY_NAME: &[&str] = &["EXECUTE"];

pub(super) fn key(folder: &[u8]) -> hmac::Key {
    let folder = hmac::Key::new(hmac::HMAC_SHA256, folder);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&folder, USE).as_ref())
}

/// Why nobody could see all of what would run; `None`: it can be shown.
pub(super) fn unseen(command: &Command) -> Option<String> {
    if let Some(fact) = super::coverage(command).into_iter().find(|fact| UNSEEN.contains(fact)) {
        return Some(fact.to_owned());
    }
    if BY_NAME.contains(&command.shape.tag.as_str()) {
        return Some("it runs a statement by its name".to_owned());
    }
    // Of a call without a text, the values alone tell nothing.
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
    bound.number(identity.chain.len() as u64);
    for link in &identity.chain {
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
    [&*decision.rule, &*decision.policy].iter().for_each(|part| bound.text(part));
    let mut out = [0; 32];
    out.iter_mut().zip(bound.0.sign().as_ref()).for_each(|(to, from)| *to = *from);
    Binding(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firsthand_model::command::Effects;
    use firsthand_model::json::Json;
    use firsthand_model::statement::Facts;
    use firsthand_model::target::{Durability, Mode};
    use firsthand_session::fake::{self, Disk, command, fakes, target};
    use firsthand_session::port::{Ask, Policy as _};

    use super::*;

    fn decision(session: &SessionFacts, command: &Command) -> Decision {
        let now = firsthand_model::time::UnixMicros(0);
        fake::TextPolicy.decide(&Ask { session, command, now, estimated_rows: None })
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
        let changes: [(&str, Change); 9] = [
            ("a literal", |c| c.text = "DELETE HOLD where id = 2".to_owned()),
            ("a space", |c| c.text.push(' ')),
            ("the text behind what is shown", |c| c.original_digest = Some([1; 32])),
            ("the parameters", |c| c.parameters_digest = Some([1; 32])),
            ("the protocol's way", |c| c.via = "extended"),
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
        let plain = command("DELETE HOLD");
        assert_eq!(unseen(&plain), None);
        for fact in UNSEEN {
            let mut cut = plain.clone();
            cut.coverage.push(fact);
            assert!(unseen(&cut).is_some(), "{fact}");
        }
        let mut named = plain.clone();
        Arc::make_mut(&mut named.shape).tag = "EXECUTE".to_owned();
        assert!(unseen(&named).is_some());
        let mut call = plain;
        call.parameters = Json::from_written(b"[1]".to_vec());
        assert!(unseen(&call).is_some());
        call.parameters_digest = Some([0; 32]);
        assert_eq!(unseen(&call), None);
    }
}
