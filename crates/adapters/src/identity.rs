//! Who it is. By Firsthand's own tokens: `token` (what a token is), `scram` (what is kept of its secret), `store` (the
//! file), `provider` (the port), `proven` (secrets found right lately). By tokens of others: `issuer`. By a client's TLS
//! certificate: `certificate`. `providers` is the
//! port over all of them. `exchange`: whether one may have a token for another.

pub mod certificate;
pub mod exchange;
pub mod issuer;
mod proven;
pub mod provider;
pub mod providers;
pub mod scram;
pub mod store;
pub mod token;
pub mod visible;
