//! Drivers (IO shells) and dialects (protocol logic), one folder per protocol.
