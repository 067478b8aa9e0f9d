//! Identity by a client's TLS certificate. `spec` is what the configuration says of the authorities behind certificates and
//! of whom they name, `fields` is what stands in one, `fault` what can be wrong with it, `naming` goes from fields to an
//! identity by the rules, `authorities` verifies.
//!
//! In scope: what a certificate proves. Out of scope: that the client has its key, which the TLS handshake has found.

pub mod authorities;
pub mod fault;
mod fields;
mod naming;
pub mod spec;

/// Whether a certificate of our own making could name somebody here.
///
/// # Errors
/// Why not.
pub(crate) fn check_own(der: &[u8]) -> Result<(), &'static str> {
    fields::Fields::of(der).map(drop).map_err(fault::Fault::text)
}

#[cfg(test)]
mod tests;
