//! The command line: its grammar, and who answers which command.
//!
//! Rules for all of it: stdout is data, stderr is talk; `--json` on everything that lists or shows; exit codes 0 done,
//! 1 refused or not found, 2 not understood, 3 not verified; every error ends with one `hint:` line.

pub(crate) mod admin;
mod approvals;
pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod contain;
pub(crate) mod evidence;
pub(crate) mod exchange;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod labels;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod output;
pub(crate) mod policy;
pub(crate) mod reference;
pub(crate) mod sessions;
pub(crate) mod sign;
pub(crate) mod token;
pub(crate) mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::failure::{Exit, Failure};
use crate::place::{At, Place};
use crate::remote::Remote;
use output::Output;

/// The record of what agents and people do, taken on the connection.
#[derive(Debug, Parser)]
#[command(name = "firsthand", version = crate::VERSION, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file [default: firsthand.toml, if it is here]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, instead of a configuration (for demo: the folder to keep it in)
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Print JSON: one value, or one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Arguments of the commands that also reach a gateway on another machine.
#[derive(Debug, Args)]
pub(crate) struct Elsewhere {
    /// A gateway on another machine, by its API: https://gateway:8300 (docs/api.md)
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) gateway: Option<String>,
    /// The authority that the certificate of --gateway must be signed by [default: the system's]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// A file with the token for --gateway, as NAME:SECRET or a JWT [default: the environment's FIRSTHAND_TOKEN, else your sign-in there (firsthand login)]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A real PostgreSQL, a gateway and an agent's session on it, end to end; then the record of it
    Demo(crate::demo::DemoArgs),
    /// Run the gateway
    Serve(crate::serve::ServeArgs),
    /// Parse, resolve and explain a configuration; try its targets
    Check(check::CheckArgs),
    /// Make, list, show, revoke and exchange tokens
    Token {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    /// Make the first administrator, on the gateway's own machine
    Admin {
        /// What to do.
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
    /// Sign in at an issuer: open an address in any browser, and type a code
    Login {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// At which.
        #[command(flatten)]
        args: login::LoginArgs,
    },
    /// End your sign-in at a gateway
    Logout {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
    },
    /// Say who you are at a gateway, and what you may reach
    Whoami {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What.
        #[command(flatten)]
        args: login::WhoamiArgs,
    },
    /// List, show and answer what waits for a person
    Approvals {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: approvals::ApprovalsCommand,
    },
    /// Ask for access for a time, and list, show, answer and take back such grants
    Grants {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: grants::GrantsCommand,
    },
    /// Contain an identity, a target or a session: end, revoke, let nothing in, hold the evidence
    Contain {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: contain::ContainCommand,
    },
    /// A small authority of the gateway's own for client certificates: make it, issue, list, revoke
    Ca {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: ca::CaCommand,
    },
    /// The keys that sign the log: show them, make a new one
    Keys {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// List, show, replay and end sessions
    Sessions {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: sessions::SessionsCommand,
    },
    /// Read the log
    Log {
        /// Where.
        #[command(flatten)]
        elsewhere: Elsewhere,
        /// What to do.
        #[command(subcommand)]
        command: log::LogCommand,
    },
    /// Evidence for somebody outside: export it
    Evidence {
        /// What to do.
        #[command(subcommand)]
        command: evidence::EvidenceCommand,
    },
    /// Verify that a log, or a bundle of evidence, is what was written: nothing altered, nothing missing
    Verify(verify::VerifyArgs),
    /// Cosign the checkpoints of logs, independently: a process of its own, with a configuration of its own
    Witness(crate::witness::WitnessArgs),
    /// Rules: try their cases, explain a decision, replay the record against them
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Say what values are, and propose labels for columns
    Labels {
        /// What to do.
        #[command(subcommand)]
        command: labels::LabelsCommand,
    },
    /// Say which version this is
    Version,
    /// Print parts of the documentation that are made from the code
    Docs {
        /// `config`.
        what: reference::Reference,
    },
}

/// Runs the command line; the exit code of the process.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e),
    };
    let out = Output::new(cli.global.json);
    match run(cli, &out) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli, out: &Output) -> Result<Exit, Failure> {
    let Global { config, dir, .. } = &cli.global;
    let place = || Place::find(config.as_deref(), dir.as_deref());
    let at = |elsewhere: &Elsewhere| at(&cli.global, elsewhere);
    match cli.command {
        Command::Demo(_) if config.is_some() => Err(Failure::usage(
            "the demo takes no configuration: it writes its own",
            "leave --config out; --dir DIR says where the demo is kept",
        )),
        Command::Demo(args) => crate::demo::run(&args, dir.as_deref(), out),
        Command::Serve(args) => crate::serve::run(&args, place()?, out),
        Command::Check(args) => check::run(&args, &place()?, out),
        Command::Token { elsewhere, command } => token::run(command, &elsewhere, || at(&elsewhere), out),
        Command::Admin { command } => admin::run(command, &place()?, out),
        Command::Login { elsewhere, args } => login::login(&args, &elsewhere, out),
        Command::Logout { elsewhere } => login::logout(&elsewhere, out),
        Command::Whoami { elsewhere, args } => login::whoami(&args, &elsewhere, out),
        Command::Approvals { elsewhere, command } => approvals::run(command, &at(&elsewhere)?, out),
        Command::Grants { elsewhere, command } => grants::run(command, &at(&elsewhere)?, out),
        Command::Contain { elsewhere, command } => contain::run(command, &at(&elsewhere)?, out),
        Command::Ca { elsewhere, command } => ca::run(command, &at(&elsewhere)?, out),
        Command::Keys { elsewhere, command } => keys::run(command, &at(&elsewhere)?, out),
        Command::Sessions { elsewhere, command } => sessions::run(command, &at(&elsewhere)?, out),
        Command::Log { elsewhere, command } => log::run(command, &at(&elsewhere)?, out),
        Command::Evidence { command } => evidence::run(command, &place()?, out),
        Command::Witness(_) if dir.is_some() => Err(Failure::usage(
            "a witness takes its data folder from its configuration",
            "give --config FILE alone",
        )),
        Command::Witness(args) => crate::witness::run(&args, config.as_deref(), out),
        Command::Verify(_) if config.is_some() || dir.is_some() => Err(Failure::usage(
            "verify takes the folder as PATH, and neither --config nor --dir",
            "firsthand verify DATA",
        )),
        Command::Verify(args) => verify::run(&args, out),
        Command::Policy { command } => {
            policy::run(command, Place::find_if_any(config.as_deref(), dir.as_deref())?, out)
        }
        Command::Labels { command } => labels::run(&command, out),
        Command::Version => {
            out.show(&serde_json::json!({ "version": crate::VERSION }), || {
                format!("firsthand {}", crate::VERSION)
            });
            Ok(Exit::Done)
        }
        Command::Docs { what } => {
            out.text(&reference::print(what));
            Ok(Exit::Done)
        }
    }
}

/// The gateway that a command is about.
fn at(global: &Global, elsewhere: &Elsewhere) -> Result<At, Failure> {
    let (Global { config, dir, .. }, Elsewhere { gateway, ca, token_file }) = (global, elsewhere);
    let Some(url) = gateway else {
        if ca.is_some() || token_file.is_some() {
            return Err(Failure::usage(
                "--ca and --token-file are about a gateway elsewhere, and none was named",
                "give --gateway URL too, or leave them out",
            ));
        }
        return Place::find(config.as_deref(), dir.as_deref()).map(|place| At::Here(Box::new(place)));
    };
    if config.is_some() || dir.is_some() {
        return Err(Failure::usage(
            "--gateway names a gateway elsewhere, --config and --dir one on this machine",
            "give one of them",
        ));
    }
    Remote::find(url, ca.as_deref(), token_file.as_deref()).map(At::There)
}

/// Help and version are data; everything else is an error with its hint.
fn not_parsed(e: &clap::Error) -> ExitCode {
    if !e.use_stderr() {
        let _ = e.print();
        return ExitCode::SUCCESS;
    }
    let text = e.render().to_string();
    let text = text.split("\n\nFor more information").next().unwrap_or_default().trim_end();
    Output::new(false).talk(&format!(
        "{text}\nhint: firsthand --help lists the commands, firsthand COMMAND --help its arguments"
    ));
    ExitCode::from(Exit::Usage as u8)
}
