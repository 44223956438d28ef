//! Every setting can be given as a flag, as a variable and in a file.

use crate::report;
use clap::{CommandFactory, Parser};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    up: astral::up::Args,
}

#[test]
fn every_flag_of_astral_up_has_its_variable() {
    let command = Flags::command();
    let flags = command.get_arguments().filter_map(|flag| Some((flag.get_long()?, flag.get_env())));
    let flags: Vec<_> = flags.filter(|(long, _)| !["help", "version"].contains(long)).collect();
    assert!(flags.len() >= 15, "only {} flags: this is not `astral up`", flags.len());
    let mut complaints = Vec::new();
    for (long, variable) in flags {
        let expected = format!("ASTRAL_{}", long.replace('-', "_").to_uppercase());
        if variable.is_none_or(|variable| variable != expected.as_str()) {
            complaints.push(format!("--{long} has the variable {variable:?}, not {expected}"));
        }
    }
    report(&complaints, "add env = \"ASTRAL_…\", the flag's name in capitals, to its #[arg]");
}

#[test]
fn every_flag_of_astral_up_says_what_it_is_for() {
    let command = Flags::command();
    let silent = command.get_arguments().filter(|flag| flag.get_help().is_none());
    let complaints: Vec<_> = silent.map(|flag| format!("--{} has no help", flag.get_id())).collect();
    report(&complaints, "write one line of documentation over its field, for its operator");
}
