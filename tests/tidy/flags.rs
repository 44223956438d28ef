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

/// What no flag may say of a wrong value, because it does not say what is expected.
const UNHELPFUL: &[&str] = &[
    "invalid socket address syntax",
    "invalid digit found in string",
    "invalid uri character",
    "invalid format",
];
const NONSENSE: &str = "?nonsense?";

/// Why `command` rejects a nonsense value of the flag `long`; None if it takes any text.
fn rejection(command: &Command, long: &str) -> Option<String> {
    let flag = format!("--{long}={NONSENSE}");
    let matches = command.clone().try_get_matches_from(["test", &flag]);
    matches.err().map(|error| error.to_string())
}

#[test]
fn a_wrong_value_is_named_with_its_flag_and_what_is_expected() {
    let mut complaints = Vec::new();
    let mut rejected = 0;
    for command in programs() {
        let flags = command.get_arguments().filter_map(|flag| flag.get_long());
        for long in flags {
            let Some(error) = rejection(&command, long) else {
                continue;
            };
            rejected += 1;
            let names_both = error.contains(NONSENSE) && error.contains(&format!("--{long}"));
            let is_unhelpful = UNHELPFUL.iter().any(|text| error.contains(text));
            if !names_both || is_unhelpful {
                complaints.push(error);
            }
        }
    }
    assert!(rejected >= 20, "only {rejected} flags check their value");
    report(
        &complaints,
        "read the value by a function of astral_chassis, such as parse_address, or by one like it",
    );
}
