//! Reading the configuration file: every mistake is named with its line, its key and, where one is
//! near, what was meant.

use std::error::Error;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Setting, Table, flag, flags};
use crate::escape::Escaped;
use crate::exit::Failure;

/// How alike two names must be that one is taken for a slip of the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The tables of `text`, the content of the file at `path`, each value tried on its flag.
pub(super) fn tables(path: &Path, text: &str, definition: &Command) -> Result<Vec<Table>, Failure> {
    let mut built = definition.clone();
    built.build();
    let reader = Reader { path, text };
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        reader.mistake(at, error.message())
    })?;
    let mut tables = Vec::new();
    reader.table(root.get_ref(), &built, Vec::new(), &mut tables)?;
    Ok(tables)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn table(
        &self,
        table: &DeTable<'_>,
        command: &Command,
        names: Vec<String>,
        tables: &mut Vec<Table>,
    ) -> Result<(), Failure> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut settings = Vec::new();
        for (key, value) in entries {
            let name: &str = key.get_ref();
            if let DeValue::Table(inner) = value.get_ref() {
                let Some(inner_command) = command.find_subcommand(name) else {
                    return Err(self.unknown(key, "command", command_names(command)));
                };
                let names = names.iter().cloned().chain([name.to_owned()]).collect();
                self.table(inner, inner_command, names, tables)?;
            } else {
                settings.push(self.setting(key, value.get_ref(), command, names.is_empty())?);
            }
        }
        let command = names;
        tables.push(Table { command, settings });
        Ok(())
    }

    /// One setting of `command`, or, `for_all`, of every command that has a flag for it.
    fn setting(
        &self,
        key: &Spanned<impl AsRef<str>>,
        value: &DeValue<'_>,
        command: &Command,
        for_all: bool,
    ) -> Result<Setting, Failure> {
        let name = key.get_ref().as_ref();
        let mut commands = vec![command];
        if for_all {
            gather(command, &mut commands);
        }
        let args: Vec<&Arg> = commands
            .iter()
            .filter_map(|command| flag(command, name))
            .collect();
        let tried = args.iter().map(|arg| {
            let read = values_of(arg, value)?;
            accepts(arg, &read).map(|()| read)
        });
        // One name may mean two things, as `backend` does to `sim`: one that takes the value is
        // enough.
        let mut tried: Vec<Result<Vec<String>, String>> = tried.collect();
        tried.sort_by_key(Result::is_err);
        let values = match tried.into_iter().next() {
            Some(Ok(values)) => values,
            Some(Err(why)) => {
                let what = format!("`{}`: {why}", Escaped(name));
                return Err(self.mistake(key.span().start, &what));
            }
            None => {
                let known = commands.iter().flat_map(|command| flags(command));
                let known = known.filter_map(Arg::get_long).map(String::from);
                return Err(self.unknown(key, "setting", known.collect()));
            }
        };
        Ok(Setting {
            flag: name.to_owned(),
            line: self.line_of(key.span().start),
            values,
        })
    }

    fn unknown(&self, key: &Spanned<impl AsRef<str>>, what: &str, known: Vec<String>) -> Failure {
        let name = key.get_ref().as_ref();
        let failure = self.mistake(
            key.span().start,
            &format!("there is no {what} `{}`", Escaped(name)),
        );
        match nearest(name, &known) {
            Some(near) => failure.remedy(format!("Did you mean `{near}`?")),
            None => failure.remedy("Settings are named like flags: `ripcurrent COMMAND --help`."),
        }
    }

    fn mistake(&self, at: usize, what: &str) -> Failure {
        let path = Escaped::path(self.path);
        Failure::usage(format!("{path}, line {}: {what}", self.line_of(at)))
    }

    fn line_of(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

/// All commands below `command`.
fn gather<'a>(command: &'a Command, into: &mut Vec<&'a Command>) {
    for inner in command.get_subcommands() {
        into.push(inner);
        gather(inner, into);
    }
}

fn command_names(command: &Command) -> Vec<String> {
    let names = command.get_subcommands().map(Command::get_name);
    names.map(String::from).collect()
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    // What is written with the wrong dashes is nearest of all.
    let name = name.trim_start_matches('-').replace('_', "-");
    let likeness = |known: &str| strsim::jaro_winkler(&name, known);
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}

/// The values of a flag as they would be written on the command line.
fn values_of(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue | ArgAction::SetFalse, DeValue::Boolean(value)) => {
            Ok(vec![value.to_string()])
        }
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => Err("must be true or false".into()),
        (ArgAction::Count, DeValue::Integer(_)) => Ok(vec![scalar(value)?]),
        (ArgAction::Count, _) => Err("must be a number".into()),
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| scalar(value.get_ref())).collect()
        }
        (_, DeValue::Array(_)) => Err("must be one value, not a list".into()),
        _ => Ok(vec![scalar(value)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| "is no number that can be".to_owned())?
            .to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return Err("must be a text or a number".into());
        }
    })
}

/// Tries the values as the command line would.
pub(super) fn accepts(arg: &Arg, values: &[String]) -> Result<(), String> {
    if values.len() > 1 && !matches!(arg.get_action(), ArgAction::Append) {
        return Err("must be one value, not a list".into());
    }
    let alone = Arg::new("value")
        .long("value")
        .action(ArgAction::Append)
        .value_parser(arg.get_value_parser().clone());
    let command = Command::new("setting").no_binary_name(true).arg(alone);
    let given = values.iter().map(|value| format!("--value={value}"));
    let Err(error) = command.try_get_matches_from(given) else {
        return Ok(());
    };
    let whole = error.to_string();
    let cause = error.source().map(ToString::to_string);
    Err(cause.unwrap_or_else(|| {
        let first = whole.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    }))
}
