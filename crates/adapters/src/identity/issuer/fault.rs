//! What can be wrong with an issuer's token. The texts are fixed: nothing of a token gets into the record by them.

use firsthand_session::port::IdentityError;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum Fault {
    /// More bytes than allowed.
    Size,
    /// No compact JWS of three parts in base64url.
    Form,
    /// JSON that is none, or says something twice.
    Json,
    /// `typ` of something else.
    Type,
    /// An algorithm that is not allowed.
    Algorithm,
    /// `crit`: it demands what is not known here.
    Critical,
    /// Not one of the configured issuers.
    Issuer,
    /// The issuer has no such key.
    Key,
    /// The keys could not be had, or not for too long.
    NoKeys,
    /// The signature does not fit.
    Signature,
    /// It is meant for somebody else.
    Audience,
    /// It is over.
    Expired,
    /// It is not valid yet.
    Early,
    /// Older than allowed, or nobody can say how old.
    Age,
    /// A claim that must be there is not, or is not what it must be.
    Claim,
    /// A name that only the gateway gives.
    Reserved,
    /// `email` that nobody has verified.
    Email,
    /// `cnf`: only the holder of a key may show it, and that cannot be checked here.
    Bound,
    /// No rule gives it anything.
    NoRule,
    /// The login name is another one.
    Login,
    /// The issuer is not configured any more.
    Gone,
    /// It is another one than was asked for (`nonce`).
    Nonce,
    /// Somebody else asked for it (`azp`).
    Party,
    /// It names no person, or somebody who acts for one.
    NoPerson,
}

impl Fault {
    /// What is wrong, for the record.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Size => "the token is larger than allowed",
            Self::Form => "the token is no signed JWT",
            Self::Json => {
                "the token's header or claims are no JSON object, or one with the same member twice"
            }
            Self::Type => {
                "the token's header says that it is something else than an access or identity token (typ)"
            }
            Self::Algorithm => "the token's algorithm is not one that is allowed for its issuer",
            Self::Critical => "the token's header demands something that is not known here (crit)",
            Self::Issuer => "no issuer is configured that the token names",
            Self::Key => "the token's issuer has no key of that id for that algorithm",
            Self::NoKeys => "the keys of the token's issuer cannot be had, or have not been for too long",
            Self::Signature => "the token's signature is wrong",
            Self::Audience => "the token is meant for another audience",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet (nbf or iat)",
            Self::Age => "the token is older than max_age, or does not say when it was made and lasts longer",
            Self::Claim => "a claim of the token that is needed is missing, or not of its form",
            Self::Reserved => {
                "the token's name begins with local: or channel:, as those of this machine's users and channels do"
            }
            Self::Email => "the token's email is not verified by its issuer (email_verified)",
            Self::Bound => "the token is bound to a key (cnf), which cannot be checked here",
            Self::NoRule => "no [[issuer.allow]] fits the token",
            Self::Login => "the login name is not the name that the token came to",
            Self::Gone => "the token's issuer is not configured any more",
            Self::Nonce => "the token is not the one that was asked for (nonce)",
            Self::Party => "the token was made for another party (azp)",
            Self::NoPerson => "the token names no person, or somebody who acts for one",
        }
    }
}

impl From<Fault> for IdentityError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Expired => Self::Expired,
            other => Self::Issued(other.text()),
        }
    }
}
