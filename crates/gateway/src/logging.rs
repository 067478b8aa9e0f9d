//! What the gateway says of itself on stderr: never statements, never secrets; those are the record's.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Human,
    /// A JSON object a line.
    Json,
}

/// Starts logging. `FIRSTHAND_LOG` chooses what is said (`info`, `debug`, `firsthand_protocols=debug`…). Doing it twice
/// in a process does nothing.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("FIRSTHAND_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that somebody has started it already.
    let _ = match format {
        LogFormat::Human => {
            subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
