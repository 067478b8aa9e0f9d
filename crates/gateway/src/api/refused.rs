//! Requests that somebody may not make whose token was proved. Each is an entry that tells who: a sum by address would not. A connection
//! is no bound on how often they ask, so of one identity so many a minute are told like that, and only the rest goes into such a sum.

use firsthand_adapters::clock::wall;
use firsthand_model::event::{AdmissionRefused, By, Event};
use firsthand_session::port::Need;
use firsthand_session::tally::Tally;
use firsthand_sql::mask_connection;

use super::Api;

/// Characters of a target's name, and of why: both may hold what a request says.
const TOLD_CHARS: usize = 256;

/// What was refused.
pub(super) struct Refused<'a> {
    /// Why, as a word.
    pub(super) why: &'static str,
    /// The target that was asked for, or nothing.
    pub(super) target: &'a str,
    /// More of why.
    pub(super) detail: &'a str,
}

impl Api {
    /// Records that this request was refused.
    pub(super) fn tell_refused(&self, login: &str, by: &By, refused: &Refused<'_>) {
        let Refused { why, target, detail } = *refused;
        let engine = &self.gateway.engine;
        let short = |text: &str| text.chars().take(TOLD_CHARS).collect::<String>();
        let detail = short(detail);
        // How many were not told of is in the sum.
        if self.turned_away.tells(&by.link.id, wall().0).is_none() {
            engine.record_refused_request(why, login, by, &detail);
            return;
        }
        Tally::one(&engine.tally.admissions_refused);
        let target = mask_connection(target).unwrap_or_else(|| target.to_owned());
        let event = Event::Refused(Box::new(AdmissionRefused {
            identity: false,
            by: Some(by.clone()),
            why,
            login: login.to_owned(),
            target: short(&target),
            client: by.client.clone().unwrap_or_default(),
            detail,
            count: 1,
        }));
        // As with a refused admission: it may not use the room that is kept for outcomes.
        let _ = engine.recorder.append(event, Need::Intent);
    }
}
