//! What can be wrong with a client's certificate. The texts are fixed: nothing of a certificate gets into the record by them.

use firsthand_session::port::IdentityError;

/// Why a certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum Fault {
    /// None was shown, and one is asked of everybody.
    Missing,
    /// More than is looked at.
    Size,
    /// No X.509 certificate that can be read.
    Form,
    /// No configured authority is behind it.
    Authority,
    /// More than one is.
    Authorities,
    /// It is over, or one between it and its authority is.
    Expired,
    /// It is not valid yet.
    Early,
    /// It is on a revocation list.
    Revoked,
    /// No list says whether it is revoked.
    Unlisted,
    /// The revocation list is out of date.
    StaleList,
    /// It is not for clients.
    Purpose,
    /// Something else about the chain.
    Chain,
    /// A name in it names nobody.
    Name,
    /// It comes to a name that only the gateway gives.
    Reserved,
    /// Its SPIFFE id is none.
    Spiffe,
    /// No rule fits.
    NoRule,
    /// The rules that fit do not say the same.
    Rules,
    /// The login name is another one.
    Login,
    /// The token beside it names somebody else.
    Token,
    /// It comes to somebody else by now.
    Changed,
}

impl Fault {
    /// What is wrong, for the record.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Missing => "no client certificate was shown, and listen.client_certificate asks for one",
            Self::Size => "the client shows more certificates, or larger ones, than are looked at",
            Self::Form => "the client certificate cannot be read",
            Self::Authority => "no configured authority ([[client_ca]]) is behind the client certificate",
            Self::Authorities => "more than one [[client_ca]] is behind the client certificate",
            Self::Expired => "the client certificate has expired, or one between it and its authority has",
            Self::Early => "the client certificate is not valid yet",
            Self::Revoked => "the client certificate was revoked",
            Self::Unlisted => "no crl of its [[client_ca]] says whether the client certificate is revoked",
            Self::StaleList => "the crl that says whether the client certificate is revoked is out of date",
            Self::Purpose => "the certificate is not for clients (extended key usage)",
            Self::Chain => "the client certificate's chain does not hold",
            Self::Name => {
                "a name in the client certificate names nobody (a wildcard, a character that is not shown, several where one counts)"
            }
            Self::Reserved => {
                "the client certificate's name begins with local: or channel:, as those of this machine's users and channels do"
            }
            Self::Spiffe => "the client certificate's SPIFFE id is none, or not its only URI",
            Self::NoRule => "no [[client_ca.allow]] fits the client certificate",
            Self::Rules => {
                "the [[client_ca.allow]] that fit the client certificate name different identities"
            }
            Self::Login => "the login name is not the name that the client certificate came to",
            Self::Token => "the token and the client certificate name different identities",
            Self::Changed => "the client certificate comes to another identity by now",
        }
    }
}

impl From<Fault> for IdentityError {
    fn from(fault: Fault) -> Self {
        Self::Certificate(fault.text())
    }
}
