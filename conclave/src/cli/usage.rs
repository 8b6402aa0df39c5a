//! Bad usage, told as a fault: what was given, what exists, what to write instead.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::console::Format;
use super::fault::Fault;

/// The format that the raw arguments ask for: needed when they could not be parsed as a whole.
pub(crate) fn format_of(args: &[OsString]) -> Format {
    let words: Vec<&str> =
        args.iter().map_while(|arg| arg.to_str().or(Some(""))).take_while(|arg| *arg != "--").collect();
    let apart = words.windows(2).any(|pair| pair == ["--format", "json"]);
    if apart || words.contains(&"--format=json") { Format::Json } else { Format::Text }
}

/// What clap found wrong, with `command` to list what exists.
pub(crate) fn fault_of(error: &clap::Error, command: &clap::Command, args: &[OsString]) -> Fault {
    let context = |kind| error.get(kind).map(words_of).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let flag = argument.split([' ', '=']).next().unwrap_or_default().to_owned();
    let value = context(ContextKind::InvalidValue);
    let at = subcommand_of(command, args);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let given = context(ContextKind::InvalidSubcommand);
            Fault::input(
                "unknown-command",
                "command",
                given,
                "there is no such command",
                exists(&visible_commands(at)),
            )
        }
        ErrorKind::UnknownArgument => {
            let near = context(ContextKind::SuggestedArg);
            let fix =
                if near.is_empty() { exists(&visible_flags(at)) } else { format!("did you mean {near}?") };
            Fault::input("unknown-flag", flag, "", format!("`{}` takes no such argument", path_of(at)), fix)
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            Fault::input("missing-value", flag, "", "a value is missing", format!("write {argument}"))
        }
        ErrorKind::InvalidValue => {
            Fault::input("invalid-value", flag, value, "unknown", exists(&[context(ContextKind::ValidValue)]))
        }
        ErrorKind::ValueValidation => match error.source() {
            Some(source) => match source.downcast_ref::<Fault>() {
                // Our parsers name the key as a scenario file does; on the command line it may be a flag.
                Some(fault) if flag.starts_with("--") => {
                    Fault { field: flag, message: format!("--{}", fault.message), ..fault.clone() }
                }
                Some(fault) => fault.clone(),
                None => Fault::input(
                    "invalid-value",
                    flag,
                    value,
                    source,
                    format!("see `{} --help`", path_of(at)),
                ),
            },
            None => Fault::input(
                "invalid-value",
                flag,
                value,
                "cannot be used",
                format!("see `{} --help`", path_of(at)),
            ),
        },
        ErrorKind::MissingRequiredArgument => Fault::input(
            "missing-argument",
            argument,
            "",
            "must be given",
            format!("see `{} --help`", path_of(at)),
        ),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let problem = format!("none follows `{}`", path_of(at));
            Fault::input("missing-command", "command", "", problem, exists(&visible_commands(at)))
        }
        ErrorKind::ArgumentConflict => {
            let other = context(ContextKind::PriorArg);
            let problem = if other.is_empty() || other == argument {
                "given twice".to_owned()
            } else {
                format!("does not go with {other}")
            };
            Fault::input("conflicting-flags", flag, "", problem, "give one of them, once")
        }
        _ => {
            let said = error.to_string();
            let line = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Fault::input("bad-usage", flag, value, line, format!("see `{} --help`", path_of(at)))
        }
    }
}

/// The deepest command that the arguments name.
fn subcommand_of<'a>(command: &'a clap::Command, args: &[OsString]) -> &'a clap::Command {
    let mut at = command;
    for arg in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        match at.find_subcommand(arg) {
            Some(next) => at = next,
            None if arg.starts_with('-') || at.get_subcommands().next().is_none() => {}
            None => break,
        }
    }
    at
}

fn visible_commands(command: &clap::Command) -> Vec<String> {
    command.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect()
}

fn visible_flags(command: &clap::Command) -> Vec<String> {
    let flags = command.get_arguments().filter(|a| !a.is_hide_set());
    flags.filter_map(|a| a.get_long().map(|long| format!("--{long}"))).collect()
}

fn exists(names: &[String]) -> String {
    format!("use one of {}", names.join(", "))
}

fn path_of(command: &clap::Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_owned()
}

fn words_of(value: &ContextValue) -> String {
    match value {
        ContextValue::String(word) => word.clone(),
        ContextValue::Strings(words) => words.join(", "),
        ContextValue::StyledStr(words) => words.to_string(),
        ContextValue::StyledStrs(words) => {
            words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}
