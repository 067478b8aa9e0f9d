//! Grants as they are listed, shown, asked for and taken back: the same for the API and for a command line that has the data folder
//! to itself. How they are approved is in `weigh.rs`.

use std::sync::Arc;

use firsthand_adapters::approvals::Approvals;
use firsthand_adapters::approvals::grants::{AskError, Asking, MayRevoke};
use firsthand_model::event::By;
use firsthand_model::grant::AccessRequest;
use firsthand_model::identity::Identity;
use firsthand_model::target::Target;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::assemble::Gateway;
use crate::failure::Failure;
use crate::weigh::{not_answered, state_failure};

/// What is asked for, over the API and on the command line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The target.
    pub(crate) target: String,
    /// A database of it; the target's own without one.
    #[serde(default)]
    pub(crate) database: Option<String>,
    /// How long: `2h`.
    #[serde(rename = "for")]
    pub(crate) lasts: String,
    /// What.
    pub(crate) effects: Vec<String>,
    /// Where; empty: anywhere.
    #[serde(default)]
    pub(crate) tables: Vec<String>,
    /// How many commands.
    #[serde(default)]
    pub(crate) commands: Option<u64>,
    /// Why.
    pub(crate) reason: String,
}

/// A target that an identity opens.
pub(crate) fn opened(gateway: &Gateway, identity: &Identity, name: &str) -> Option<Arc<Target>> {
    gateway.engine.targets.find(name).filter(|target| identity.targets.contains(&target.name))
}

/// Asks for it, as who asks.
pub(crate) async fn request(
    gateway: &Gateway,
    identity: Option<&Identity>,
    by: &By,
    wanted: &Wanted,
) -> Result<Value, Failure> {
    let Some(identity) = identity else {
        return Err(Failure::usage(
            "a user of this machine has no sessions that a grant could be for",
            "ask as the identity itself: firsthand grants --gateway URL request …, with its token",
        ));
    };
    let unknown = || {
        let name: String = wanted.target.chars().take(64).collect();
        Failure::new(
            format!("this token opens no target `{}`", name.escape_debug()),
            "firsthand whoami tells which it opens; who made it can make another",
        )
    };
    let target = opened(gateway, identity, &wanted.target).ok_or_else(unknown)?;
    if gateway.engine.targets.is_contained(&target.name) {
        return Err(Failure::new("an administrator has contained this target", "ask the operator"));
    }
    let database = wanted.database.as_ref().unwrap_or(&target.database);
    if *database != target.database && !target.databases.contains(database) {
        return Err(Failure::new(
            "the target does not offer this database",
            "leave --database out for its own",
        ));
    }
    let request = AccessRequest {
        lasts: wanted.lasts.clone(),
        effects: wanted.effects.join(","),
        reason: wanted.reason.clone(),
        tables: wanted.tables.join(","),
        commands: wanted.commands,
    };
    let asking =
        Asking { identity, by: by.clone(), target: &target, database, request: &request, session: None };
    let row = gateway.approvals.ask_grant(&asking).await.map_err(|e| not_asked(&e))?;
    Ok(json!({ "id": row.id, "state": row.stage.word() }))
}

fn not_asked(e: &AskError) -> Failure {
    match e {
        AskError::Unfit(_) => {
            Failure::usage(e.to_string(), "firsthand grants request --help describes the arguments")
        }
        AskError::NoOffer(_) => {
            Failure::new(e.to_string(), "an operator adds `grants` to the target (docs/grants.md)")
        }
        AskError::NobodyToAsk(_) => Failure::new(
            e.to_string(),
            "the policy's [[group]] lists its members by name; a user of this machine is local:NAME there",
        ),
        AskError::TooMany => {
            Failure::new(e.to_string(), "firsthand grants list shows them; take back what is not needed")
        }
        AskError::NotRecorded(_) => {
            Failure::later(e.to_string(), "look at the disk of the data folder; /readyz says how the log is")
                .there()
        }
        AskError::State(e) => state_failure(e),
    }
}

/// Takes one back.
pub(crate) async fn revoke(
    approvals: &Approvals,
    id: &str,
    by: &By,
    may: MayRevoke,
    reason: &str,
) -> Result<Value, Failure> {
    let was = approvals.revoke_grant(id, by, may, reason).await.map_err(|e| not_answered(id, &e))?;
    Ok(json!({ "id": id, "state": "revoked", "was": was.word() }))
}
