//! Sessions under a grant that has a login role of its own at the target: which one they log in as, and when they have lost it.

use std::sync::Arc;

use firsthand_model::identity::ClientFacts;
use firsthand_model::session::{RoleOf, SessionFacts};
use firsthand_model::target::Target;

use crate::admission::{Admitted, Engine, Wanted, facts_of};
use crate::port::{Credential, CredentialError};
use crate::refusal::{Refusal, RefusalKind};

/// Why a session was refused: its grant has no role at the target.
const ROLE: &str = "grant-role";

impl Engine {
    /// At a target where each grant has a role of its own, a session is of the grant that is in force for it as it begins, and logs
    /// in as that. Without one it logs in as the target's credential says, and no grant covers it.
    ///
    /// # Errors
    /// The refusal to answer with, where there is a grant and no role for it; it is in the record.
    pub async fn take_role(
        self: &Arc<Self>,
        admitted: &mut Admitted,
        wanted: &Wanted,
        client: &ClientFacts,
    ) -> Result<(), Refusal> {
        // What nobody can look at is under no grant.
        if admitted.target.roles.is_none() || wanted.unobserved {
            return Ok(());
        }
        let any = SessionFacts { role_of: RoleOf::Target, ..facts_of(admitted, String::new()) };
        let Some(grant) = self.grants.given_last(&any, self.clock.now()) else { return Ok(()) };
        match self.roles.of_grant(self, &admitted.target, &grant).await {
            Ok(credential) => {
                admitted.credential = credential;
                admitted.role_of = RoleOf::Grant(grant);
                Ok(())
            }
            Err(why) => {
                self.refused_known(ROLE, wanted, client, &format!("grant {grant}: {why}"));
                Err(no_role(&grant))
            }
        }
    }

    /// What to present for what the gateway asks a target as a session would: with its rights, and no others.
    ///
    /// # Errors
    /// As [`crate::port::CredentialSource::credential`].
    pub fn credential_of(
        &self,
        session: &SessionFacts,
        target: &Target,
    ) -> Result<Credential, CredentialError> {
        let RoleOf::Grant(grant) = &session.role_of else {
            return self.credentials.credential(&session.identity, target);
        };
        let gone = || CredentialError::Missing(format!("the role of grant {grant} is gone"));
        self.roles.known(&target.name, grant).ok_or_else(gone)
    }

    /// Why a session must end: the grant is over whose role it has.
    pub fn role_is_over(&self, session: &SessionFacts) -> Option<(Arc<str>, &'static str)> {
        let RoleOf::Grant(grant) = &session.role_of else { return None };
        let why = self.grants.over(grant, self.clock.now())?;
        Some((Arc::clone(grant), why))
    }
}

fn no_role(grant: &str) -> Refusal {
    let text = format!(
        "Firsthand could not make the login role that grant {grant} has of its own at this target, so nothing runs under it; connect \
         again later, and if it stays so, ask the operator"
    );
    Refusal::new(RefusalKind::Unavailable, text)
        .hint("The gateway's record says why (session.refused, role.failed).")
}

/// What the client of a session reads whose grant is over.
pub(crate) fn lost(grant: &str, why: &str) -> Refusal {
    let text = format!(
        "Firsthand ended this session: grant {grant} {why}, and the login role that was made for it ends with it"
    );
    Refusal::new(RefusalKind::Draining, text).hint("Connect again, and ask for access if it is still needed.")
}
