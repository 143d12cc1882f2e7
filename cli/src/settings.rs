//! The configuration file: flags by their names, at its top for all commands, in the table named
//! after a command for that one alone.
//!
//! Read by the definition of the command line itself, so that every flag is a setting. A setting
//! becomes the default of its flag: what is given on the command line wins.

mod read;

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Id, ValueHint};

use crate::escape::Escaped;
use crate::exit::Failure;

/// The most bytes of the file; far more than anybody writes.
const LONGEST: u64 = 1 << 20;

/// What a configuration file says, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    path: PathBuf,
    tables: Vec<Table>,
}

/// The settings of one command.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    /// The names that lead to the command, such as `sim`, `replay`; none for all commands.
    command: Vec<String>,
    settings: Vec<Setting>,
}

/// The value of a flag.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    /// The flag's long name.
    flag: String,
    /// Where it stands in the file, counted from 1.
    line: usize,
    values: Vec<String>,
}

/// A setting that goes into effect.
struct Chosen<'a> {
    setting: &'a Setting,
    /// Whether it stands in the command's own table.
    own: bool,
    arg: &'a Arg,
}

impl Settings {
    /// Reads the file at `path`, which must be there, or the one in its usual place, if it can be
    /// read.
    pub(crate) fn load(path: Option<&Path>, definition: &Command) -> Result<Self, Failure> {
        let usual = || {
            let dirs = ["XDG_CONFIG_HOME", "HOME"].map(std::env::var_os);
            let [config, home] = dirs;
            usual_path(config, home)
        };
        let Some(named) = path.map(Path::to_path_buf).or_else(usual) else {
            return Ok(Settings::none());
        };
        match text_of(&named) {
            Ok(text) => Settings::read(&named, &text, definition),
            // No home, or one that others forbid, is no reason to do nothing.
            Err(error) if path.is_none() && is_nowhere(error.kind()) => Ok(Settings::none()),
            Err(error) => {
                let what = format!("cannot read the settings in {}", Escaped::path(&named));
                let failure = Failure::usage(what).because(error);
                Err(failure.remedy("Name another file with --config, or give --no-config."))
            }
        }
    }

    fn none() -> Self {
        Settings {
            path: PathBuf::new(),
            tables: Vec::new(),
        }
    }

    /// Reads `text`, the content of the file at `path`.
    fn read(path: &Path, text: &str, definition: &Command) -> Result<Self, Failure> {
        let tables = read::tables(path, text, definition)?;
        Ok(Settings {
            path: path.to_path_buf(),
            tables,
        })
    }

    /// `definition` with the settings as defaults of the command that the command line, read as
    /// `given`, names. What contradicts the command line is left out.
    pub(crate) fn apply(
        &self,
        definition: Command,
        given: &ArgMatches,
    ) -> Result<Command, Failure> {
        let mut built = definition.clone();
        built.build();
        let (names, given) = asked_for(given);
        let command = find(&built, &names).unwrap_or(&built);
        let is_given = |id: &Id| {
            let known = given.ids().any(|other| other == id);
            known && given.value_source(id.as_str()) == Some(ValueSource::CommandLine)
        };
        let on_the_line: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| is_given(arg.get_id()))
            .collect();
        let stands_back = |arg: &Arg| {
            let mut given = on_the_line.iter();
            given.any(|other| other.get_id() == arg.get_id() || exclude(command, arg, other))
        };
        let mut chosen = self.chosen(command, &names)?;
        chosen.retain(|one| !stands_back(one.arg));
        Ok(chosen.into_iter().fold(definition, |definition, one| {
            preset(definition, &names, &one)
        }))
    }

    /// The settings for `command`: its own first, then those for all that do not contradict them.
    fn chosen<'a>(
        &'a self,
        command: &'a Command,
        names: &[String],
    ) -> Result<Vec<Chosen<'a>>, Failure> {
        let mut chosen: Vec<Chosen<'_>> = Vec::new();
        let own = self.tables.iter().filter(|table| table.command == names);
        let all = self.tables.iter().filter(|table| table.command.is_empty());
        let tables = own
            .map(|table| (true, table))
            .chain(all.map(|table| (false, table)));
        for (own, setting) in
            tables.flat_map(|(own, table)| table.settings.iter().map(move |setting| (own, setting)))
        {
            let arg = flag(command, &setting.flag);
            let Some(arg) = arg.filter(|arg| read::accepts(arg, &setting.values).is_ok()) else {
                continue;
            };
            let rival = chosen.iter().find(|other| {
                other.arg.get_id() == arg.get_id() || exclude(command, arg, other.arg)
            });
            match rival {
                None => chosen.push(Chosen { setting, own, arg }),
                Some(rival) if rival.own != own => {}
                Some(rival) => return Err(self.contradiction(setting, rival.setting)),
            }
        }
        Ok(chosen)
    }

    fn contradiction(&self, one: &Setting, other: &Setting) -> Failure {
        let (first, second) = if one.line < other.line {
            (one, other)
        } else {
            (other, one)
        };
        let what = format!(
            "{}, line {}: `{}` cannot be set together with `{}` in line {}",
            Escaped::path(&self.path),
            second.line,
            second.flag,
            first.flag,
            first.line
        );
        Failure::usage(what).remedy("Remove one of the two.")
    }
}

/// Where the file is without `--config`: in `config`, the value of `$XDG_CONFIG_HOME`, if that is
/// an absolute path as its standard demands, else below `home`.
fn usual_path(config: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute =
        |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute(config).or_else(|| Some(absolute(home)?.join(".config")))?;
    Some(folder.join("ripcurrent/config.toml"))
}

fn text_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn is_nowhere(kind: ErrorKind) -> bool {
    use ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    [NotADirectory, NotFound, PermissionDenied].contains(&kind)
}

/// The names that lead to the command that was asked for, and what was given to it.
fn asked_for(mut given: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let mut names = Vec::new();
    while let Some((name, inner)) = given.subcommand() {
        names.push(name.to_owned());
        given = inner;
    }
    (names, given)
}

fn find<'a>(root: &'a Command, names: &[String]) -> Option<&'a Command> {
    let mut names = names.iter();
    names.try_fold(root, |command, name| command.find_subcommand(name))
}

/// The flag with this long name that a file may set.
fn flag<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    flags(command).find(|arg| arg.get_long() == Some(long))
}

/// The flags that a file may set: all but those about itself, and those that end everything.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    const NEVER: [&str; 4] = ["config", "no-config", "help", "version"];
    let settable = |arg: &&Arg| arg.get_long().is_some_and(|long| !NEVER.contains(&long));
    command.get_arguments().filter(settable)
}

/// Whether the two cannot be given together; the definition may say so of either.
fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let lists = |one: &Arg, other: &Arg| {
        let excluded = command.get_arg_conflicts_with(one);
        excluded.iter().any(|arg| arg.get_id() == other.get_id())
    };
    lists(one, other) || lists(other, one)
}

/// Makes a setting the default of its flag.
fn preset(definition: Command, names: &[String], one: &Chosen<'_>) -> Command {
    match names {
        // An empty list sets nothing, but its flag is not taken from the settings for all.
        _ if one.setting.values.is_empty() => definition,
        [name, rest @ ..] if !one.arg.is_global_set() => {
            definition.mut_subcommand(name, |command| preset(command, rest, one))
        }
        _ => {
            let home = std::env::var_os("HOME");
            let values = one.setting.values.iter();
            let values: Vec<OsString> = values
                .map(|value| match one.arg.get_value_hint() {
                    ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath => {
                        at_home(value, home.as_deref())
                    }
                    _ => value.into(),
                })
                .collect();
            definition.mut_arg(one.arg.get_id().as_str(), |arg| arg.default_values(values))
        }
    }
}

/// A path as a shell would have read it: `~/` stands for the home folder.
fn at_home(path: &str, home: Option<&OsStr>) -> OsString {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest).into(),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests;
