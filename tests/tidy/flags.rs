//! Every setting can be given as a flag, as a variable and in a file.

use crate::report;
use clap::{Command, CommandFactory, Parser};

#[derive(Parser)]
struct Up {
    #[command(flatten)]
    up: astral::up::Args,
}

#[derive(Parser)]
struct Edge {
    #[command(flatten)]
    process: astral_chassis::Config,
    #[command(flatten)]
    service: astralnode::Config,
}

/// The programs that between them have every flag there is.
fn programs() -> [Command; 2] {
    [
        Up::command().name("astral up"),
        Edge::command().name("astralnode"),
    ]
}

fn complain_of_variables(command: &Command, complaints: &mut Vec<String>) {
    let flags = command
        .get_arguments()
        .filter_map(|flag| Some((flag.get_long()?, flag.get_env())));
    let flags: Vec<_> = flags
        .filter(|(long, _)| !["help", "version"].contains(long))
        .collect();
    assert!(
        flags.len() >= 15,
        "only {} flags: this is not {command}",
        flags.len()
    );
    for (long, variable) in flags {
        let expected = format!("ASTRAL_{}", long.replace('-', "_").to_uppercase());
        if variable.is_none_or(|variable| variable != expected.as_str()) {
            complaints.push(format!(
                "--{long} of {command} has the variable {variable:?}, not {expected}"
            ));
        }
    }
}

#[test]
fn every_flag_has_its_variable() {
    let mut complaints = Vec::new();
    programs()
        .iter()
        .for_each(|command| complain_of_variables(command, &mut complaints));
    report(
        &complaints,
        "add env = \"ASTRAL_…\", the flag's name in capitals, to its #[arg]",
    );
}

#[test]
fn every_flag_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for command in programs() {
        let silent = command
            .get_arguments()
            .filter(|flag| flag.get_help().is_none());
        complaints
            .extend(silent.map(|flag| format!("--{} of {command} has no help", flag.get_id())));
    }
    report(
        &complaints,
        "write one line of documentation over its field, for its operator",
    );
}
