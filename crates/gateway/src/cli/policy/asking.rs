//! Who asks, for the commands about policy: a token's identity, or one made up.

use std::sync::{Arc, OnceLock};

use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::{State, Token};
use firsthand_model::id::SessionId;
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_policy::compiled::Compiled;
use firsthand_policy::rules::Rules;
use firsthand_session::port::IdentityError;

use crate::cli::output::Output;
use crate::config::{Config, TargetConfig};
use crate::desk::store_failure;
use crate::failure::Failure;
use crate::place::Place;
use crate::rules;

/// The configuration that the command needs.
pub(super) fn config(place: &Place) -> Result<&Config, Failure> {
    place.config.as_ref().ok_or_else(|| {
        Failure::usage("this needs a configuration: targets and rules stand there", "give --config FILE")
    })
}

/// The rules in force, or, where the configuration names none, the shipped ones, and says so.
pub(super) fn rules_of(config: &Config, out: &Output) -> Result<Rules, Failure> {
    let compiled: Compiled = match rules::load(config)? {
        Some(compiled) => compiled,
        None => {
            out.talk(
                "note: the configuration has no [policy], so the gateway allows what tokens name; this shows what the shipped \
                 rules would decide",
            );
            rules::compile(&[rules::shipped()], rules::target_labels(config))?
        }
    };
    Ok(Rules::new(compiled))
}

/// The target of that name.
pub(super) fn target<'a>(config: &'a Config, name: &str) -> Result<&'a TargetConfig, Failure> {
    config.target(name).ok_or_else(|| {
        let known: Vec<&str> = config.targets.iter().map(|t| t.target.name.as_str()).collect();
        Failure::usage(format!("there is no target `{name}`"), crate::config::nearest(name, &known))
    })
}

/// The identity of a token, with why it lets nobody in any more; where there is none of that name, an agent's.
///
/// # Errors
/// Tokens that cannot be read: whose the name is cannot be told then.
pub(super) fn identity(
    place: &Place,
    name: &str,
    kind: Option<IdentityKind>,
    target: &str,
    out: &Output,
) -> Result<(Identity, Option<String>), Failure> {
    let file = place.data_dir.join("tokens.json");
    let there = file.try_exists().map_err(|e| {
        Failure::new(
            format!("cannot look for {}: {e}", file.display()),
            "run this as the user that owns the data folder",
        )
    })?;
    if kind.is_none() && there {
        let store = TokenStore::open(&place.data_dir).map_err(store_failure)?;
        let tokens = store.list();
        let named = || tokens.iter().filter(|token| token.name == name);
        if let Some(token) = named().rfind(|token| token.revoked.is_none()).or_else(|| named().next_back()) {
            return Ok(of_token(token, store.state(token, wall())));
        }
    }
    let kind = kind.unwrap_or_else(|| {
        out.talk(&format!("note: there is no token `{name}`: asked as an agent of that name"));
        IdentityKind::Agent
    });
    let link = Link { kind, id: name.to_owned(), name: name.to_owned(), trust: Trust::Bound };
    let identity = Identity {
        chain: vec![link],
        login: name.to_owned(),
        subject: String::new(),
        targets: vec![target.to_owned()],
        ..Identity::default()
    };
    Ok((identity, None))
}

fn of_token(token: &Token, state: State) -> (Identity, Option<String>) {
    let pseudonym = |_: IdentityKind, name: &str| name.to_owned();
    let ended = match state {
        State::Valid => None,
        State::Revoked => Some(IdentityError::Revoked.to_string()),
        State::Expired => Some(IdentityError::Expired.to_string()),
    };
    let identity = Identity {
        chain: token.chain(&pseudonym),
        login: token.name.clone(),
        subject: String::new(),
        targets: token.targets.clone(),
        groups: token.groups().to_vec(),
        owner: token.owner.clone(),
        ..Identity::default()
    };
    (identity, ended)
}

/// A session of an identity at a target, as far as decisions look at it.
pub(super) fn session(identity: Identity, target: &TargetConfig) -> SessionFacts {
    let user = target.credential.user.clone();
    SessionFacts {
        id: SessionId(0),
        identity: Arc::new(identity),
        target: target.target.name.clone(),
        database: target.target.database.clone(),
        session_role: user.clone(),
        role: user,
        backend_pid: 0,
        server_version: String::new(),
        application: String::new(),
        durability: target.target.durability,
        mode: target.target.mode,
        role_of: firsthand_model::session::RoleOf::Target,
        encoded: OnceLock::new(),
    }
}
