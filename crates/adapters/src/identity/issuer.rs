//! Identity by the token of another issuer: a JWT that an identity provider has signed (RFC 7519), shown as the database
//! password over TLS or to the API. `strict` reads its JSON, `jws` takes it apart and checks the signature, `keys` are the
//! issuer's, `spec` is what the configuration says of it, `claims` goes from claims to an identity, `consent` is what it
//! says of who may act for its subject, `ring` keeps the keys
//! of all issuers fresh, `sign_in` is what is said between an issuer and this gateway when a person signs in there.
//!
//! In scope: what a token proves. Out of scope: how bytes come from an issuer (`Fetch`), and what the identity may do.

mod claims;
pub mod consent;
pub mod fault;
mod jws;
pub mod keys;
pub mod ring;
pub mod sign_in;
pub mod spec;
mod strict;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod mint;
