//! Implementations of the engine's ports: identity by token, credentials, the recorder over the log, the dialer, the clock.
