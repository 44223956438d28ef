//! Settings: a flag overrides an `ASTRAL_…` variable, which overrides the settings file, which
//! overrides the default.
//!
//! A value from the file becomes the default of the flag with that name. So clap keeps the order,
//! and `--help` shows the values.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, Error, Parser};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Reads the settings of this process by `command`, which is the command of `A` with the name and
/// the description of the program. Prints help and exits with 0 if asked for help. Names what is
/// wrong and exits with 2 if a flag, a variable or a setting is wrong.
pub fn parse<A: Parser>(command: Command) -> A {
    let read = || {
        let args: Vec<_> = std::env::args_os().collect();
        let path = settings_path(&command, &args);
        let file = path
            .as_deref()
            .map(|path| Ok::<_, Error>((path, read_file(path)?)))
            .transpose()?;
        resolve(
            command,
            args,
            file.as_ref().map(|(path, text)| (*path, text.as_str())),
        )
    };
    read().unwrap_or_else(|error| error.exit())
}

/// Reads settings from `args` (the first is the name of the program), the environment, and the path
/// and text of a settings file.
///
/// # Errors
/// Those of clap. [`clap::Error::exit`] prints them and exits with their status.
pub fn parse_from<A: Parser>(
    args: impl IntoIterator<Item = impl Into<OsString>>,
    settings: Option<(&Path, &str)>,
) -> Result<A, Error> {
    resolve(
        A::command(),
        args.into_iter().map(Into::into).collect(),
        settings,
    )
}

fn resolve<A: Parser>(
    command: Command,
    args: Vec<OsString>,
    settings: Option<(&Path, &str)>,
) -> Result<A, Error> {
    let mut command = command.arg(settings_arg());
    if let Some((path, text)) = settings {
        let in_file = |what: String| {
            Error::raw(
                ErrorKind::InvalidValue,
                format!("settings file {}: {what}\n", path.display()),
            )
        };
        for (name, value) in read_settings(text).map_err(in_file)? {
            command = set_default(command, &name, &value).map_err(in_file)?;
        }
    }
    let matches = command.try_get_matches_from_mut(args)?;
    A::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn settings_arg() -> Arg {
    Arg::new("settings")
        .short('s')
        .long("settings")
        .env("ASTRAL_SETTINGS")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("TOML file of settings, by the names of the flags")
}

/// Finds the path of the settings file. Errors elsewhere are left to the real parsing.
fn settings_path(command: &Command, args: &[OsString]) -> Option<PathBuf> {
    let command = command.clone().arg(settings_arg()).ignore_errors(true);
    command
        .try_get_matches_from(args)
        .ok()?
        .get_one("settings")
        .cloned()
}

fn read_file(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::raw(
            ErrorKind::Io,
            format!("settings file {} cannot be read: {error}\n", path.display()),
        )
    })
}

/// The settings of a file, by the names of their flags.
fn read_settings(text: &str) -> Result<BTreeMap<String, toml::Value>, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.to_string())?;
    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        if settings.insert(name, value).is_some() {
            return Err(format!("{key} is set twice, with - and with _"));
        }
    }
    Ok(settings)
}

/// The command, with `value` as the default of its flag `name`, also in its subcommands.
fn set_default(command: Command, name: &str, value: &toml::Value) -> Result<Command, String> {
    let Some(arg) = find(&command, name) else {
        return Err(format!("unknown setting {name} = {value}"));
    };
    let values = values(value)
        .ok_or_else(|| format!("{name} = {value} is not a plain value or a list of them"))?;
    check(arg, name, &values)?;
    Ok(with_default(command, name, &values))
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| is_setting(arg, name));
    own.or_else(|| command.get_subcommands().find_map(|sub| find(sub, name)))
}

fn is_setting(arg: &Arg, name: &str) -> bool {
    arg.get_long() == Some(name) && arg.get_id() != "settings"
}

/// The text of a plain value, or the texts of a list of plain values.
fn values(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| values(item).filter(|_| !item.is_array())?.pop())
            .collect(),
        toml::Value::Table(_) => None,
        plain => Some(vec![plain.to_string()]),
    }
}

/// Refuses values that the flag itself would refuse, because clap does not check defaults.
fn check(arg: &Arg, name: &str, values: &[String]) -> Result<(), String> {
    let mut alone = Arg::new("value")
        .long(name.to_owned())
        .value_parser(arg.get_value_parser().clone());
    alone = alone.action(match arg.get_action() {
        ArgAction::Append => ArgAction::Append,
        _ => ArgAction::Set,
    });
    if let Some(delimiter) = arg.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let command = Command::new("settings")
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(alone);
    let flags = values.iter().map(|value| format!("--{name}={value}"));
    command
        .try_get_matches_from(flags)
        .map(drop)
        .map_err(|error| {
            let message = error.to_string();
            let first = message.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        })
}

fn with_default(command: Command, name: &str, values: &[String]) -> Command {
    let set = |arg: Arg| {
        if is_setting(&arg, name) {
            arg.required(false).default_values(values.to_vec())
        } else {
            arg
        }
    };
    command
        .mut_args(set)
        .mut_subcommands(|sub| with_default(sub, name, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Subcommand};

    #[derive(Parser)]
    #[allow(dead_code, reason = "only its flags matter")]
    struct Args {
        #[arg(short)]
        verbose: bool,
        #[command(subcommand)]
        command: Commands,
    }

    #[derive(Subcommand)]
    enum Commands {
        Up {
            #[arg(long, required = true)]
            join: Option<String>,
        },
    }

    #[test]
    fn the_settings_file_is_found_wherever_it_is_named() {
        for args in [
            &["astral", "-s", "file", "up"][..],
            &["astral", "up", "--settings", "file"],
            &["astral", "up", "--settings=file", "--join", "host:1"],
            &["astral", "-vsfile", "up", "--colour"],
        ] {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            assert_eq!(
                settings_path(&Args::command(), &args),
                Some("file".into()),
                "{args:?}"
            );
        }
        assert_eq!(
            settings_path(&Args::command(), &["astral".into(), "up".into()]),
            None
        );
    }
}
