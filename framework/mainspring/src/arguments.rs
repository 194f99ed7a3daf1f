//! The command line of every service.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use clap_complete::Shell;

use crate::report::Format;

/// What stands beside the name of the binary.
const FRAMEWORK: &str = concat!("(mainspring ", env!("CARGO_PKG_VERSION"), ")");

const ASK: &str = "Instead of running the service";

/// Arguments of a service binary.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    long_about = None,
    disable_version_flag = true,
    disable_help_flag = true,
    group = clap::ArgGroup::new("ask").multiple(false),
    after_help = "\
Examples:
  PROGRAM -c configs/service.yaml                           run it
  PROGRAM -c configs/service.yaml --check-config            is it right? All that is wrong, in one run
  PROGRAM -c configs/service.yaml --check-config=connect    and do the brokers answer?
  PROGRAM -c configs/service.yaml --print-effective-config  what would it run with?
  PROGRAM -c configs/service.yaml --print-component-graph | dot -Tsvg > components.svg
  PROGRAM --completions bash > ~/.local/share/bash-completion/completions/PROGRAM

Graph:      nothing is loaded for it. Shown is what components declare in code and what their sections refer to;
            those that declare nothing are dashed, because they may look for more.
Exit codes: 0 stopped as told, 1 could not start, 2 wrong command line, 3 wrong configuration,
            4 something did not finish its stop in time, 5 ended at once by a second signal.
Signals:    SIGTERM, SIGINT, SIGQUIT stop the service; a second one ends it at once. SIGUSR1 reopens log files,
            SIGHUP reads files such as secrets and the defaults of the dynamic configuration again."
)]
pub(crate) struct Arguments {
    /// The static configuration
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "static_config.yaml",
        help_heading = "Configuration"
    )]
    pub(crate) config: String,

    /// Values for `$variables`, instead of the file that `config_vars` names
    #[arg(long = "config_vars", value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config_vars: Option<String>,

    /// Values that replace single ones of those
    #[arg(long = "config_vars_override", value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config_vars_override: Option<String>,

    /// Check the configuration; with `=connect`, also whether brokers answer, let us in and have the topics
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "alone",
        hide_possible_values = true, group = "ask", help_heading = ASK)]
    pub(crate) check_config: Option<CheckConfig>,

    /// How to say what is wrong: `text`, or `json` for machines
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORM",
        hide_possible_values = true,
        help_heading = "Configuration"
    )]
    pub(crate) format: Format,

    /// Print everything in force, with the origin of each value; secrets are masked
    #[arg(long, group = "ask", help_heading = ASK)]
    pub(crate) print_effective_config: bool,

    /// Print which components look for which, as `dot` or `mermaid`
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "dot",
        hide_possible_values = true, group = "ask", help_heading = ASK)]
    pub(crate) print_component_graph: Option<GraphFormat>,

    /// Print the JSON Schema of this binary's configuration, for editors
    #[arg(long, group = "ask", help_heading = ASK)]
    pub(crate) print_config_schema: bool,

    /// Print the compiled-in values of all dynamic variables, as JSON
    #[arg(long, group = "ask", help_heading = ASK)]
    pub(crate) print_dynamic_config_defaults: bool,

    /// Print completions for a shell: bash, zsh, fish, elvish or powershell
    #[arg(long, value_name = "SHELL", hide_possible_values = true, group = "ask", help_heading = ASK)]
    pub(crate) completions: Option<Shell>,

    /// Print the version, also of what is built in
    #[arg(short = 'V', long, group = "ask", help_heading = ASK)]
    pub(crate) version: bool,

    /// Print this help
    #[arg(short, long, action = clap::ArgAction::Help, help_heading = ASK)]
    help: Option<bool>,

    /// What the binary is called.
    #[arg(skip)]
    pub(crate) program: String,
}

/// How far a check of the configuration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckConfig {
    /// What it says.
    Alone,
    /// And whether what components connect to answers.
    Connect,
}

/// A language for graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Dot,
    Mermaid,
}

impl Arguments {
    /// Reads the arguments of a process; the first is the binary, which help and version are about.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let binary = arguments.first().and_then(|path| Path::new(path).file_name());
        let program = binary.map_or_else(|| "service".to_owned(), |name| name.to_string_lossy().into_owned());
        let matches = command(&program).try_get_matches_from(arguments)?;
        Ok(Self { program, ..Self::from_arg_matches(&matches)? })
    }

    /// The program and the framework, one line.
    pub(crate) fn title(&self) -> String {
        title(&self.program)
    }

    /// What a shell needs to complete this command line.
    pub(crate) fn completions(&self, shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(&self.program), &self.program, &mut script);
        script
    }
}

fn title(program: &str) -> String {
    format!("{program} {FRAMEWORK}")
}

fn command(program: &str) -> clap::Command {
    let command = Arguments::command();
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let after_help = after_help.replace("PROGRAM", program);
    command.about(title(program)).display_name(program.to_owned()).after_help(after_help)
}
