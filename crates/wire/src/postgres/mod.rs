//! PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2 (PostgreSQL docs, chapter 55), as bytes only.
//!
//! Read [`frame`] first: it finds messages. [`startup`] reads the untagged first packets, [`frontend`] and [`backend`]
//! the bodies of messages; [`reply`] writes what a gateway says in a server's place. What the messages *mean* to a session
//! is no matter of this crate.

pub mod backend;
pub mod encode;
pub mod field;
pub mod frame;
pub mod frontend;
pub mod mask;
pub mod reply;
pub mod scram;
pub mod startup;
pub mod value;

pub use field::{DecodeError, Format};
pub use frame::{Frame, FrameError, Frames, Header, Rules, Scan, Sender};
