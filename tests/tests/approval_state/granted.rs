//! Grants over the same state: in force at all gateways that share it, and worth nothing where only the state says so.

use super::*;

/// A target at which access is given for a time.
fn offering() -> Target {
    let offer = GrantOffer {
        approvers: Arc::from("all"),
        quorum: 1,
        own: false,
        longest_us: 3_600_000_000,
        answer_us: 60_000_000,
        effects: Effects::only(Effect::Read),
    };
    Target { grants: Some(Arc::new(offer)), ..target(Durability::Strict, Mode::Enforce) }
}

impl Gateway {
    async fn ask_grant(&self, lasts: &str, commands: Option<u64>) -> Row {
        let session = self.session.facts();
        let own = str::to_owned;
        let request = AccessRequest {
            lasts: own(lasts),
            effects: own("read"),
            reason: own("why"),
            tables: String::new(),
            commands,
        };
        let (target, by) = (offering(), by_chain(&session.identity.chain));
        let asking = Asking {
            identity: &session.identity,
            by,
            target: &target,
            database: &session.database,
            request: &request,
            session: None,
        };
        self.approvals.ask_grant(&asking).await.unwrap()
    }

    /// The grant that covers a read now.
    fn covering(&self) -> Option<String> {
        let covering = self.approvals.covers(self.session.facts(), &command("SELECT 1"), wall());
        covering.map(|covering| covering.id.to_string())
    }
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    tokio::task::block_in_place(|| until(what, || Ok(is())).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_in_force_at_both_gateways_counts_over_both_and_is_over_at_both() {
    on_both(|a, b| async move {
        let keeping = [&a, &b].map(|gateway| tokio::spawn(gateway.approvals.clone().keep_up()));
        let asked = a.ask_grant("1h", Some(5)).await;
        assert_eq!(b.ask_grant("1h", Some(5)).await.id, asked.id, "the same request");
        assert_ne!(b.ask_grant("30m", Some(5)).await.id, asked.id);
        assert!(matches!(
            a.approvals
                .answer(&asked.id, &by_chain(&a.session.facts().identity.chain), Say::Approve, "")
                .await,
            Err(AnswerError::Own(_) | AnswerError::NoPerson(_))
        ));
        assert_eq!((a.covering(), b.covering()), (None, None), "nobody has approved it");
        b.approvals.answer(&asked.id, &by("grace"), Say::Approve, "ok").await.unwrap();
        let id = Some(asked.id.clone());
        wait_for("it is in force at both", || a.covering() == id && b.covering() == id);
        // Asked for while it is in force, it is a new request: for more time.
        let more = a.ask_grant("1h", Some(5)).await;
        assert_ne!(more.id, asked.id);
        let uses = (0..8).map(|n| {
            let (approvals, id) = ([&a, &b][n % 2].approvals.clone(), asked.id.clone());
            tokio::spawn(async move { approvals.count(&id).await })
        });
        let mut counted = 0;
        for used in uses.collect::<Vec<_>>() {
            counted += u64::from(used.await.unwrap());
        }
        assert_eq!(counted, 5);
        let told = [&a, &b].map(|gateway| gateway.told_of(&asked.id, "grant.used_up"));
        assert_eq!(told.iter().sum::<usize>(), 1);
        wait_for("it is used up at both", || a.covering().is_none() && b.covering().is_none());
        let over = |gateway: &Gateway, id: &str| gateway.approvals.over(id, wall());
        assert_eq!((over(&a, &asked.id), over(&b, &asked.id)), (None, None), "what has begun goes on");
        a.approvals.answer(&more.id, &by("grace"), Say::Approve, "ok").await.unwrap();
        wait_for("more is in force at both", || a.covering().is_some() && b.covering().is_some());
        assert!(matches!(
            b.approvals.revoke_grant(&more.id, &by("eve"), MayRevoke::Approved, "").await,
            Err(AnswerError::NotInGroup { .. })
        ));
        b.approvals.revoke_grant(&more.id, &by("grace"), MayRevoke::Approved, "enough").await.unwrap();
        wait_for("it is over at both", || over(&a, &more.id).is_some() && over(&b, &more.id).is_some());
        assert_eq!((a.covering(), over(&a, &more.id)), (None, Some("was revoked")));
        assert_eq!(b.told_of(&more.id, "grant.revoked"), 1);
        keeping.iter().for_each(tokio::task::JoinHandle::abort);
    })
    .await;
}

/// Who writes the state past the gateways makes no grant, changes none, and brings none back.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_comes_of_what_is_written_past_the_gateway() {
    with_back_door(|gateway, back| async move {
        let keeping = tokio::spawn(gateway.approvals.clone().keep_up());
        let (waits, over) = (gateway.ask_grant("1h", None).await, gateway.ask_grant("2m", None).await);
        gateway.approvals.answer(&over.id, &by("grace"), Say::Approve, "").await.unwrap();
        wait_for("it is in force", || gateway.covering().is_some());
        gateway.approvals.revoke_grant(&over.id, &by("grace"), MayRevoke::Approved, "").await.unwrap();
        wait_for("it is over", || gateway.covering().is_none());
        back.run("update approvals set stage = 'given', ended = 0, ends = ends + 3600000000");
        wait_for("what nobody gave is ended", || {
            let ended = tokio::runtime::Handle::current().block_on(gateway.state_of(&waits.id));
            ended == "withdrawn"
        });
        assert_eq!(gateway.covering(), None);
        // One that was given, for more than it was given for.
        let given = gateway.ask_grant("3m", None).await;
        gateway.approvals.answer(&given.id, &by("grace"), Say::Approve, "").await.unwrap();
        wait_for("it is in force", || gateway.covering().is_some());
        back.run(
            "update approvals set listed = replace(listed, '\"read\"', '\"write\"') where stage = 'given'",
        );
        wait_for("what was changed is over", || gateway.covering().is_none());
        keeping.abort();
    })
    .await;
}
