//! `firsthand evidence`: a bundle for somebody outside, who can check it without us.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::Output;
use crate::evidence::{Wanted, export};
use crate::failure::{Exit, Failure};
use crate::place::Place;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Write the entries of a range, with proofs, into one file
    Export(ExportArgs),
}

/// Arguments of `evidence export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Show payloads of this human, agent, service or token alone: a name, the part of it before @, or an id
    #[arg(long, value_name = "WHO")]
    identity: Option<String>,
    /// Show payloads about this target alone
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The first moment: 2h, 7d, 2026-11-23 or 2026-11-23T02:00:00Z [default: the log's beginning]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The last one; a day counts as a whole [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Show no payload at all: leaves and proofs
    #[arg(long)]
    without_payloads: bool,
    /// The file to write; it must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub(crate) fn run(command: EvidenceCommand, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let EvidenceCommand::Export(args) = command;
    if args.identity.is_none() && args.target.is_none() && args.from.is_none() && args.to.is_none() {
        return Err(Failure::usage(
            "evidence of what?",
            "name --identity WHO, --target TARGET, or a range with --from and --to",
        ));
    }
    let wanted = Wanted {
        identity: args.identity,
        target: args.target,
        from: args.from,
        to: args.to,
        payloads: !args.without_payloads,
        file: args.output,
    };
    let made = export(place, &wanted)?;
    let parts = &made.manifest.epochs;
    let entries: u64 = parts.iter().map(|p| p.end - p.first).sum();
    let scoped: u64 = parts.iter().map(|p| p.scoped).sum();
    let disclosed: u64 = parts.iter().map(|p| p.disclosed).sum();
    let (withheld, erased): (u64, u64) =
        (parts.iter().map(|p| p.withheld).sum(), parts.iter().map(|p| p.erased).sum());
    let file = wanted.file.display().to_string();
    let told = json!({
        "file": file, "bytes": made.packed.bytes, "sha256": made.packed.sha256, "entries": entries, "scoped": scoped,
        "disclosed": disclosed, "withheld": withheld, "erased": erased, "unsigned": made.manifest.unsigned,
        "missing_policies": made.manifest.missing,
    });
    out.show(&told, || {
        format!(
            "{file}: {entries} entries, {scoped} in scope; {disclosed} payloads shown, {withheld} withheld, {erased} erased\nsha256 {}",
            made.packed.sha256
        )
    });
    if scoped == 0 {
        out.talk("note: no entry of the range is in scope; is the name right?");
    }
    if made.manifest.unsigned > 0 {
        out.talk(&format!(
            "note: {} entries of the range are not signed yet and so not in it; the gateway signs them when it runs",
            made.manifest.unsigned
        ));
    }
    if !made.manifest.missing.is_empty() {
        out.talk(&format!(
            "note: rules that were in force and are not at hand: {} (the configuration is named with --config)",
            made.manifest.missing.join(", ")
        ));
    }
    out.talk("note: give the log's key to whoever checks it by another way: firsthand keys show");
    Ok(Exit::Done)
}
