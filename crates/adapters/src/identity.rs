//! Identity by token: `token` (what a token is), `scram` (what is kept of its secret), `store` (the file), `provider`
//! (the port), `proven` (secrets found right lately).

mod proven;
pub mod provider;
pub mod scram;
pub mod store;
pub mod token;
