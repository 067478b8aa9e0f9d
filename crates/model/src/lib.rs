//! Nouns of the gateway: identity, target, command, decision, outcome, event. No IO, no async, no clock.
