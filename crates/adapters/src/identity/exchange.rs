//! Whether somebody may have a token for a person (RFC 8693), and what it opens. Pure: both were proved before, and the time
//! comes in. What comes out is never more than either of them has: its targets, its end; and nothing at the gateway itself.

use std::time::Duration;

use firsthand_model::identity::{Identity, IdentityKind, Link};
use firsthand_model::time::UnixMicros;

use super::issuer::spec::matches;
use super::token::{Consent, Exchanged, NewToken, Shown, TokenKind};

/// How long an exchanged token holds where nobody says: a piece of work, such as an agent does on one request of a person.
pub const LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest that may be asked for. Who works longer shows both tokens again: so somebody whose own token ended is not acted
/// for through the night.
pub const LIFE_MAX: Duration = Duration::from_secs(3600);

/// Bytes of the names of a person's groups, which are kept with the token: all of them or none, because a rule may forbid what
/// one of those does that would be left out.
pub const GROUPS_BYTES_MAX: usize = 16 << 10;

/// Whom the configuration lets act for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of who acts.
    pub agents: Vec<String>,
    /// Patterns of the people they act for; empty: whoever is in the groups.
    pub people: Vec<String>,
    /// The person must be in one of these; empty: any of the people.
    pub groups: Vec<String>,
}

impl Rule {
    fn fits(&self, subject: &Identity, person: &Link, actor: &Link) -> bool {
        let any = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        let named = !self.people.is_empty() || !self.groups.is_empty();
        named
            && any(&self.agents, &actor.name)
            && (self.people.is_empty() || any(&self.people, &person.name))
            && (self.groups.is_empty() || self.groups.iter().any(|group| subject.groups.contains(group)))
    }
}

/// One side: who was proved, and what hangs on the token that was shown.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// When its token ends; `None`: when it is revoked.
    pub ends: Option<UnixMicros>,
    /// Whether its token came by exchange itself.
    pub exchanged: bool,
}

/// Which side something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The person's.
    Subject,
    /// The agent's.
    Actor,
}

impl Whose {
    /// The word of RFC 8693.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Actor => "actor",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The targets; none: all that both may reach.
    pub targets: Vec<String>,
    /// How long it is to hold.
    pub life: Option<Duration>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum No {
    /// Of an exchange already.
    #[error("the {} token came by exchange itself, and is not exchanged again", .0.word())]
    Again(Whose),
    /// No person, or one for whom somebody acts already.
    #[error("the subject token names no person, or somebody who acts for another one")]
    NoPerson,
    /// A person, or one of several that act.
    #[error("the actor token names no agent or service, or one that acts through another one")]
    NoActor,
    /// The agent's token is for one person.
    #[error("the actor token is for acting for another person")]
    AnotherPerson,
    /// The person's token says no.
    #[error(
        "the subject token says who may act for its person (may_act), and that is not who the actor token names"
    )]
    NotNamed,
    /// Nobody says yes.
    #[error("nothing says that who the actor token names may act for who the subject token names")]
    NoConsent,
    /// Longer than may be.
    #[error("an exchanged token holds for {} s at most", LIFE_MAX.as_secs())]
    TooLong,
    /// One of the tokens ends now.
    #[error("a token that was shown ends within the second")]
    NoTime,
    /// One of them may not reach it.
    #[error("the {} token does not open the target {target}", .whose.word())]
    Target {
        /// Its name, as it was asked for.
        target: String,
        /// Which token.
        whose: Whose,
    },
    /// More groups than are kept.
    #[error("the subject token names more groups than {GROUPS_BYTES_MAX} bytes have room for")]
    Groups,
    /// Nothing that both may reach.
    #[error("there is no target that both tokens open")]
    NoTarget,
}

impl No {
    /// What to do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Again(_) | Self::NoTime => "show the person's own token, and the agent's own",
            Self::NoPerson => {
                "show a token of the person themselves: of an issuer that calls its subjects human, or made with --kind human and without --on-behalf-of"
            }
            Self::NoActor => {
                "show the agent's own token: made with --kind agent or service, or of an issuer that calls its subjects so"
            }
            Self::AnotherPerson => {
                "use a token of the agent that was made without --on-behalf-of, or for this person"
            }
            Self::NotNamed => "the issuer has to name this agent in may_act (docs/identity.md)",
            Self::NoConsent => {
                "an operator can allow it with an [[exchange]] table, or the issuer with may_act (docs/identity.md)"
            }
            Self::TooLong => "ask for less, and exchange again when it has ended",
            Self::Groups => "let the issuer name only groups that rules speak of, or leave groups_claim out",
            Self::Target { .. } | Self::NoTarget => "ask for targets that both tokens open",
        }
    }
}

/// Decides. `says`: what the person's token says of this actor (`may_act`), if it says anything.
///
/// # Errors
/// Why not.
pub fn decide(
    (subject, actor): (Side<'_>, Side<'_>),
    says: Option<bool>,
    rules: &[Rule],
    asked: &Asked,
    now: UnixMicros,
) -> Result<(NewToken, Exchanged), No> {
    for (side, whose) in [(subject, Whose::Subject), (actor, Whose::Actor)] {
        if side.exchanged {
            return Err(No::Again(whose));
        }
    }
    let (person, subject_by) = person(subject.identity)?;
    let (acts, kind, actor_by) = acting(actor.identity, person)?;
    let consent = match says {
        Some(true) => Consent::MayAct,
        Some(false) => return Err(No::NotNamed),
        None if rules.iter().any(|rule| rule.fits(subject.identity, person, acts)) => Consent::Configuration,
        None => return Err(No::NoConsent),
    };
    let new = NewToken {
        on_behalf_of: Some(person.name.clone()),
        owner: actor.identity.owner.clone(),
        targets: targets(subject.identity, actor.identity, &asked.targets)?,
        ttl_seconds: Some(life(asked.life, [subject.ends, actor.ends], now)?),
        ..NewToken::new("", kind)
    };
    // The person's groups come along, as with `act` in an issuer's token. The agent's do not: rules name an agent itself.
    let groups = subject.identity.groups.clone();
    if groups.iter().map(String::len).sum::<usize>() > GROUPS_BYTES_MAX {
        return Err(No::Groups);
    }
    Ok((new, Exchanged { actor: acts.name.clone(), actor_by, subject_by, consent, groups }))
}

/// The person, who acts for nobody and for whom nobody acts.
fn person(identity: &Identity) -> Result<(&Link, Shown), No> {
    match identity.chain.as_slice() {
        [person, token] if person.kind == IdentityKind::Human && token.kind == IdentityKind::Token => {
            Ok((person, shown(identity, token)))
        }
        _ => Err(No::NoPerson),
    }
}

/// Who acts. A token that an administrator bound to a person is good for that person alone.
fn acting<'a>(identity: &'a Identity, person: &Link) -> Result<(&'a Link, TokenKind, Shown), No> {
    let (bound, acts, token) = match identity.chain.as_slice() {
        [acts, token] => (None, acts, token),
        [bound, acts, token] if identity.issuer.is_none() => (Some(bound), acts, token),
        _ => return Err(No::NoActor),
    };
    let kind = match acts.kind {
        IdentityKind::Agent => TokenKind::Agent,
        IdentityKind::Service => TokenKind::Service,
        IdentityKind::Human | IdentityKind::Token | IdentityKind::Certificate => return Err(No::NoActor),
    };
    if token.kind != IdentityKind::Token {
        return Err(No::NoActor);
    }
    if bound.is_some_and(|bound| (bound.kind, &bound.name) != (person.kind, &person.name)) {
        return Err(No::AnotherPerson);
    }
    Ok((acts, kind, shown(identity, token)))
}

fn shown(identity: &Identity, token: &Link) -> Shown {
    Shown { token: token.name.clone(), issuer: identity.issuer.clone() }
}

fn targets(subject: &Identity, actor: &Identity, asked: &[String]) -> Result<Vec<String>, No> {
    for target in asked {
        for (side, whose) in [(subject, Whose::Subject), (actor, Whose::Actor)] {
            if !side.targets.contains(target) {
                return Err(No::Target { target: target.clone(), whose });
            }
        }
    }
    let mut targets = asked.to_vec();
    if asked.is_empty() {
        targets = subject.targets.iter().filter(|t| actor.targets.contains(t)).cloned().collect();
    }
    targets.sort_unstable();
    targets.dedup();
    if targets.is_empty() { Err(No::NoTarget) } else { Ok(targets) }
}

/// Whole seconds, so that it is over before either of the two is.
fn life(asked: Option<Duration>, ends: [Option<UnixMicros>; 2], now: UnixMicros) -> Result<u64, No> {
    let asked = asked.unwrap_or(LIFE);
    if asked > LIFE_MAX {
        return Err(No::TooLong);
    }
    let left = ends.into_iter().flatten().map(|end| end.0.saturating_sub(now.0) / 1_000_000);
    let seconds = left.fold(asked.as_secs(), u64::min);
    if seconds == 0 { Err(No::NoTime) } else { Ok(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_model::identity::{Role, Trust};

    const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);

    fn link(kind: IdentityKind, name: &str) -> Link {
        Link { kind, id: format!("{}-{name}", kind.word()), name: name.to_owned(), trust: Trust::Verified }
    }

    /// `human:ada agent:bot token:t`, opening these targets.
    fn identity(chain: &str, targets: &[&str]) -> Identity {
        let chain = chain.split(' ').map(|l| l.split_once(':').unwrap());
        let chain = chain.map(|(kind, name)| link(IdentityKind::parse(kind).unwrap(), name)).collect();
        let targets = targets.iter().map(|t| (*t).to_owned()).collect();
        Identity { chain, targets, roles: vec![Role::Admin], ..Identity::default() }
    }

    fn side(identity: &Identity) -> Side<'_> {
        Side { identity, ends: None, exchanged: false }
    }

    fn rule(agents: &str, people: &[&str], groups: &[&str]) -> Rule {
        let of = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        Rule { agents: vec![agents.to_owned()], people: of(people), groups: of(groups) }
    }

    fn ask(
        subject: &Identity,
        actor: &Identity,
        says: Option<bool>,
        rules: &[Rule],
    ) -> Result<(NewToken, Exchanged), No> {
        decide((side(subject), side(actor)), says, rules, &Asked::default(), NOW)
    }

    #[test]
    fn what_comes_out_is_what_both_have_and_nothing_at_the_gateway() {
        let subject =
            Identity { groups: vec!["corp/dba".into()], ..identity("human:ada token:t1", &["a", "b"]) };
        let actor = Identity {
            owner: Some("platform".into()),
            groups: vec!["corp/bots".into()],
            issuer: Some("mesh".into()),
            ..identity("service:job token:mesh/j", &["c", "b"])
        };
        let (new, exchanged) = ask(&subject, &actor, Some(true), &[]).unwrap();
        assert_eq!((&new.targets, &new.roles), (&vec!["b".to_owned()], &vec![]));
        assert_eq!((new.kind, new.ttl_seconds), (TokenKind::Service, Some(LIFE.as_secs())));
        assert_eq!((new.on_behalf_of.as_deref(), new.owner.as_deref()), (Some("ada"), Some("platform")));
        assert_eq!((exchanged.actor.as_str(), exchanged.consent), ("job", Consent::MayAct));
        assert_eq!(exchanged.groups, ["corp/dba"]);
        assert_eq!(exchanged.actor_by, Shown { token: "mesh/j".into(), issuer: Some("mesh".into()) });
        assert_eq!(exchanged.subject_by, Shown { token: "t1".into(), issuer: None });
    }

    #[test]
    fn only_a_person_is_acted_for_and_only_by_one_that_acts() {
        let (ada, bot) = (identity("human:ada token:t", &["a"]), identity("agent:bot token:t", &["a"]));
        let yes = |subject: &Identity, actor: &Identity| ask(subject, actor, Some(true), &[]).err();
        assert_eq!(yes(&ada, &bot), None);
        assert_eq!(yes(&bot, &ada), Some(No::NoPerson), "swapped");
        assert_eq!(yes(&bot, &bot), Some(No::NoPerson));
        assert_eq!(yes(&ada, &ada), Some(No::NoActor));
        for chain in ["human:ada agent:bot token:t", "human:eve human:ada token:t", "human:ada", "token:t"] {
            assert_eq!(yes(&identity(chain, &["a"]), &bot), Some(No::NoPerson), "{chain}");
        }
        for chain in ["human:ada human:bot token:t", "agent:bot", "agent:a agent:b agent:c token:t"] {
            assert_eq!(yes(&ada, &identity(chain, &["a"])), Some(No::NoActor), "{chain}");
        }
        let bound = identity("human:ada agent:bot token:t", &["a"]);
        assert_eq!(yes(&ada, &bound), None);
        assert_eq!(yes(&identity("human:eve token:t", &["a"]), &bound), Some(No::AnotherPerson));
        let acted = Identity { issuer: Some("corp".into()), ..bound.clone() };
        assert_eq!(yes(&ada, &acted), Some(No::NoActor), "an issuer says that it acts for somebody already");
        for (sides, whose) in [([true, false], Whose::Subject), ([false, true], Whose::Actor)] {
            let of = |identity, exchanged| Side { identity, ends: None, exchanged };
            let sides = (of(&ada, sides[0]), of(&bot, sides[1]));
            let again = decide(sides, Some(true), &[], &Asked::default(), NOW);
            assert_eq!(again, Err(No::Again(whose)));
        }
    }

    #[test]
    fn somebody_must_say_yes_and_the_persons_own_token_goes_first() {
        let ada = Identity { groups: vec!["corp/dba".into()], ..identity("human:corp/ada token:t", &["a"]) };
        let bot = identity("agent:night-bot token:t", &["a"]);
        let any = [rule("*", &["*"], &[])];
        assert_eq!(ask(&ada, &bot, Some(false), &any), Err(No::NotNamed));
        assert_eq!(ask(&ada, &bot, None, &[]), Err(No::NoConsent));
        for (rule, allows) in [
            (rule("night-*", &["corp/*"], &[]), true),
            (rule("night-bot", &["corp/ada"], &["corp/dba"]), true),
            (rule("night-bot", &[], &["corp/ops", "corp/dba"]), true),
            (rule("night-bot", &["corp/ada"], &["corp/ops"]), false),
            (rule("night-bot", &["ada"], &[]), false),
            (rule("day-*", &["*"], &[]), false),
            (rule("night-bot", &[], &[]), false),
        ] {
            let made = ask(&ada, &bot, None, std::slice::from_ref(&rule));
            assert_eq!(made.is_ok(), allows, "{rule:?}");
            assert!(made.is_ok_and(|(_, e)| e.consent == Consent::Configuration) == allows);
        }
    }

    #[test]
    fn it_ends_before_either_of_both_and_within_the_hour() {
        let (ada, bot) = (identity("human:ada token:t", &["a"]), identity("agent:bot token:t", &["a"]));
        let of = |life: Option<u64>, ends: [Option<u64>; 2]| {
            let [subject, actor] = ends.map(|end| end.map(|micros| UnixMicros(NOW.0 + micros)));
            let sides = (Side { ends: subject, ..side(&ada) }, Side { ends: actor, ..side(&bot) });
            let asked = Asked { life: life.map(Duration::from_secs), targets: Vec::new() };
            decide(sides, Some(true), &[], &asked, NOW).map(|(new, _)| new.ttl_seconds.unwrap())
        };
        assert_eq!(of(None, [None, None]), Ok(900));
        assert_eq!(of(Some(3600), [None, None]), Ok(3600));
        assert_eq!(of(Some(3601), [None, None]), Err(No::TooLong));
        assert_eq!(of(None, [Some(60_999_999), None]), Ok(60));
        assert_eq!(of(Some(1800), [Some(1_700_000_000), Some(30_000_000)]), Ok(30));
        assert_eq!(of(None, [None, Some(999_999)]), Err(No::NoTime));
        assert_eq!(of(Some(0), [None, None]), Err(No::NoTime));
    }

    #[test]
    fn groups_come_along_all_or_none() {
        let with = |count: usize| Identity {
            groups: vec!["g".repeat(1024); count],
            ..identity("human:ada token:t", &["a"])
        };
        let bot = identity("agent:bot token:t", &["a"]);
        assert_eq!(ask(&with(16), &bot, Some(true), &[]).map(|(_, e)| e.groups.len()), Ok(16));
        assert_eq!(ask(&with(17), &bot, Some(true), &[]).err(), Some(No::Groups));
    }

    #[test]
    fn targets_are_asked_of_both() {
        let (ada, bot) =
            (identity("human:ada token:t", &["a", "b"]), identity("agent:bot token:t", &["b", "c"]));
        let of = |targets: &[&str]| {
            let asked = Asked { targets: targets.iter().map(|t| (*t).to_owned()).collect(), life: None };
            decide((side(&ada), side(&bot)), Some(true), &[], &asked, NOW).map(|(new, _)| new.targets)
        };
        assert_eq!(of(&["b", "b"]), Ok(vec!["b".to_owned()]));
        assert_eq!(of(&["b", "a"]), Err(No::Target { target: "a".to_owned(), whose: Whose::Actor }));
        assert_eq!(of(&["c"]), Err(No::Target { target: "c".to_owned(), whose: Whose::Subject }));
        let eve = identity("human:eve token:t", &["a"]);
        assert_eq!(ask(&eve, &bot, Some(true), &[]), Err(No::NoTarget));
    }
}
