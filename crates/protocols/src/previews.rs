//! The `Previewer` port over all protocols: whoever speaks the target's tries the command there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firsthand_model::command::Command;
use firsthand_model::decision::Obligations;
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::json::{Json, Object};
use firsthand_model::preview::{Original, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_session::Engine;
use firsthand_session::port::{BoxFuture, Need, Previewer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::protocol::{Links, Previewing, Probe, StreamProtocol};
use crate::registry::STREAM_PROTOCOLS;

/// Previews at a time of one target: each is a connection that holds locks on rows for a moment.
const AT_ONCE: usize = 2;
/// A preview waits this long for its turn. Whoever is asked has the statement by then, and reads it first.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// Connecting and all that is asked may take this long. The statement itself has less.
const WITHIN: Duration = Duration::from_secs(10);

/// Tries commands at targets.
pub struct Previews {
    links: Arc<dyn Links>,
    protocols: Vec<(&'static str, Arc<dyn StreamProtocol>)>,
    /// One for each target that was ever asked; targets are as many as the configuration names.
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Previews {
    /// Over targets that are reached like this.
    pub fn new(links: Arc<dyn Links>) -> Self {
        let protocols = STREAM_PROTOCOLS.iter().map(|listed| (listed.name, (listed.build)())).collect();
        Self { links, protocols, turns: Mutex::default() }
    }

    fn turn(&self, target: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(target.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }

    async fn tried(
        &self,
        engine: &Arc<Engine>,
        session: &SessionFacts,
        command: &Command,
        original: &Original,
    ) -> Result<Preview, &'static str> {
        let gone = "the target is gone from the configuration";
        let target = engine.targets.find(&session.target).ok_or(gone)?;
        let link = self.links.link(&session.target).ok_or(gone)?;
        let (_, protocol) = self
            .protocols
            .iter()
            .find(|(name, _)| *name == target.protocol)
            .ok_or("nothing is tried in the target's protocol")?;
        let turns = self.turn(&session.target);
        let turn = timeout(TURN_WITHIN, turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or("too many others are tried at this target")?;
        let credential =
            engine.credential_of(session, &target).map_err(|_| "there is no credential for the target")?;
        let event = Event::Log(LogEvent { kind: "target.asked", leaf: told(session) }.into());
        // What is not in the record is not asked.
        engine
            .recorder
            .append(event, Need::Intent)
            .map_err(|_| "the record does not take that it is tried")?;
        let masks = |schema: &str, table: &str, columns: &[&str]| {
            let duty = engine.policy.masks_of_rows(session, (schema, table), columns, engine.clock.now())?;
            Some(engine.masker.plan(&Arc::new(Obligations { mask: duty, ..Obligations::default() })))
        };
        let trying = async {
            let stream = engine.dialer.dial(&target).await.map_err(|_| "the target cannot be reached")?;
            let probe = Probe { stream, link, credential: &credential, database: &session.database };
            let with = Previewing { probe, session, command, original, masks: &masks };
            Ok(protocol.preview(with).await)
        };
        timeout(WITHIN, trying).await.unwrap_or(Err("the target did not answer in time"))
    }
}

impl Previewer for Previews {
    fn preview<'a>(
        &'a self,
        engine: &'a Arc<Engine>,
        session: &'a SessionFacts,
        command: &'a Command,
        original: &'a Original,
    ) -> BoxFuture<'a, Preview> {
        Box::pin(async move {
            let tried = match original.untried {
                Some(why) => Err(why),
                None => self.tried(engine, session, command, original).await,
            };
            tried.unwrap_or_else(|why| Preview::none(format!("Nothing was tried: {why}.")))
        })
    }
}

/// What is recorded of it. The statement itself stands in the record of its command.
fn told(session: &SessionFacts) -> Json {
    let mut out = Vec::with_capacity(120);
    let mut o = Object::open(&mut out);
    o.string("database", &session.database);
    o.string("target", &session.target);
    o.string("what", "preview");
    o.close();
    Json::from_written(out)
}
