//! A `Refusal` as PostgreSQL's own error: the one place where refusals become bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_session::{Refusal, RefusalKind};
use firsthand_wire::postgres::reply::{Notice, Severity};

/// The SQLSTATE of a family (PostgreSQL docs, appendix A; class RF is private, as those from I to Z are free for
/// implementers).
pub const fn sqlstate(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Denied => "42501",
        RefusalKind::Cancelled => "57014",
        RefusalKind::Pending => "RF001",
        RefusalKind::NotRecorded => "RF002",
        RefusalKind::Limit => "RF003",
        RefusalKind::Identity => "28P01",
        RefusalKind::Unavailable => "57P03",
        RefusalKind::Draining => "57P01",
        RefusalKind::Contained => "RF004",
        RefusalKind::Protocol => "08P01",
        RefusalKind::Unsupported => "0A000",
    }
}

/// The ErrorResponse after which the session lives on. `utf8`: whether the client reads UTF-8; otherwise what is not ASCII
/// becomes a question mark.
pub fn error(refusal: &Refusal, utf8: bool) -> Bytes {
    if utf8 {
        return response(refusal, Severity::Error, sqlstate(refusal.kind));
    }
    let ascii = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
    let plain = Refusal {
        kind: refusal.kind,
        message: ascii(&refusal.message),
        detail: ascii(&refusal.detail),
        hint: ascii(&refusal.hint),
        rule: Arc::clone(&refusal.rule),
    };
    response(&plain, Severity::Error, sqlstate(plain.kind))
}

/// The NoticeResponse to a client whose command waits for a person.
pub fn still_held() -> Bytes {
    let notice = Refusal::new(RefusalKind::Pending, "this command waits for approval by a person");
    response(&notice, Severity::Notice, "00000")
}

/// The ErrorResponse with which the session ends.
pub fn fatal(refusal: &Refusal) -> Bytes {
    response(refusal, Severity::Fatal, sqlstate(refusal.kind))
}

/// The last word when the target is gone: as a client library itself would say it (SQLSTATE 08006).
pub fn target_lost() -> Bytes {
    let refusal = Refusal::new(
        RefusalKind::Unavailable,
        "the target closed the connection unexpectedly; what ran may or may not have taken effect",
    );
    response(&refusal, Severity::Fatal, "08006")
}

/// Without file, line and routine, also where the words are PostgreSQL's own: those say where in PostgreSQL's source an error
/// was raised, which is not true of any here. Drivers take them as optional; `copy` itself reads the routine to tell what the
/// target has done.
fn response(refusal: &Refusal, severity: Severity, sqlstate: &str) -> Bytes {
    let some = |text: &'_ str| !text.is_empty();
    let mut out = BytesMut::with_capacity(128 + refusal.message.len());
    Notice {
        severity,
        sqlstate,
        message: &refusal.message,
        detail: Some(refusal.detail.as_str()).filter(|t| some(t)),
        hint: Some(refusal.hint.as_str()).filter(|t| some(t)),
    }
    .encode(&mut out);
    out.freeze()
}
