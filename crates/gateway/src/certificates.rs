//! Client certificates while the gateway runs: what counts is read with the configuration, and who was let in by what counts no
//! longer is ended.

use firsthand_adapters::identity::certificate::authorities::{self, Ready};

use crate::assemble::Gateway;
use crate::config::Config;
use crate::failure::Failure;

/// Verifiers of what is configured.
///
/// # Errors
/// Which authority or list cannot be used.
pub(crate) fn ready(config: &Config) -> Result<Ready, Failure> {
    authorities::ready(config.client_cas.clone(), config.client_demand).map_err(|why| {
        Failure::new(
            why,
            "check ca and crl of this [[client_ca]]: PEM files of authorities and revocation lists",
        )
    })
}

/// Ends the sessions whose certificate is not accepted any more.
pub(crate) fn end_lapsed(gateway: &Gateway) {
    for handle in gateway.sessions.list() {
        if gateway.engine.has_lapsed(&handle.facts) {
            handle.lapse();
        }
    }
}
