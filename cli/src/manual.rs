//! `completions` and `man`: what shells and `man` are told of the command line, made of its
//! definition.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{self, CompletionsArgs, ManArgs};
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::say::{self, Level};
use crate::units::Count;

/// The program's name, as the definition has it.
const NAME: &str = "ripcurrent";

/// Writes what completes command lines in a shell to stdout.
pub(crate) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    let mut definition = args::definition();
    clap_complete::generate(args.shell, &mut definition, NAME, &mut script);
    say::data(String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes one page of the manual to stdout, or all into a folder.
pub(crate) fn man(args: &ManArgs, level: Level) -> Outcome {
    let definition = whole();
    match &args.dir {
        Some(dir) => write_all(&definition, dir, level)?,
        None => {
            let command = named(&definition, &args.command)?;
            say::data(text(command)?)?;
        }
    }
    Ok(Exit::Done)
}

/// The definition with all names that lead to each command.
fn whole() -> Command {
    let mut definition = args::definition().disable_help_subcommand(true);
    definition.build();
    definition
}

fn named<'a>(definition: &'a Command, names: &[String]) -> Result<&'a Command, Failure> {
    let mut names = names.iter();
    names.try_fold(definition, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            let what = format!("there is no command `{}`", Escaped(name));
            Failure::usage(what).remedy("All are listed by `ripcurrent --help`.")
        })
    })
}

fn write_all(definition: &Command, dir: &Path, level: Level) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::disk("create", dir, error))?;
    let mut commands = vec![definition];
    let mut pages = 0u64;
    while let Some(command) = commands.pop() {
        let path = dir.join(Man::new(command.clone()).get_filename());
        fs::write(&path, text(command)?).map_err(|error| Failure::disk("write", &path, error))?;
        pages += 1;
        commands.extend(command.get_subcommands());
    }
    if level > Level::Quiet {
        say::line(format_args!(
            "{} in {}",
            Count(pages, "page"),
            Escaped::path(dir)
        ));
    }
    Ok(())
}

/// The page of one command.
fn text(command: &Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    render(command, &mut page).map_err(|error| {
        Failure::new(Exit::Internal, "a page of the manual cannot be made").because(error)
    })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let is_first = command.get_name() == NAME;
    let version = command.get_version().unwrap_or_default();
    let man = Man::new(command.clone())
        .source(format!("Ripcurrent {version}"))
        .manual("Ripcurrent");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let mut rest = Roff::new();
    if let Some(ending) = command.get_after_help().filter(|_| !is_first) {
        as_it_stands(&mut rest, "NOTES", &ending.to_string());
    }
    exit_status(&mut rest);
    files(&mut rest);
    if !is_first {
        rest.control("SH", ["SEE ALSO"]);
        rest.text([bold(NAME), roman("(1)")]);
    }
    rest.to_writer(page as &mut dyn Write)
}

/// Lines that `man` must not fill.
fn as_it_stands(roff: &mut Roff, heading: &str, text: &str) {
    roff.control("SH", [heading]);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        roff.control("TP", []);
        roff.text([bold((exit as u8).to_string())]);
        roff.text([roman(exit.meaning())]);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    roff.control("TP", []);
    roff.text([bold("$XDG_CONFIG_HOME/ripcurrent/config.toml")]);
    roff.text([roman(args::SETTINGS)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use clap_complete::Shell;

    /// Every command has its page, which names every flag of it and tells every exit code.
    #[test]
    fn the_manual_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let definition = whole();
        write_all(&definition, dir.path(), Level::Quiet).unwrap();
        let mut commands = vec![&definition];
        while let Some(command) = commands.pop() {
            let name = command.get_display_name().unwrap_or(NAME);
            let page = fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
            for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
                let shown = format!("\\-\\-{}", long.replace('-', "\\-"));
                assert!(page.contains(&shown), "{name}: {shown}\n{page}");
            }
            for exit in Exit::ALL {
                assert!(page.contains(exit.meaning()), "{name}: {exit:?}");
            }
            commands.extend(command.get_subcommands());
        }
    }

    /// A page is found by the words that call its command; what is no command is a usage error.
    #[test]
    fn pages_are_found_by_name() {
        let definition = whole();
        let page = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            named(&definition, &names).and_then(text)
        };
        assert!(page(&[]).unwrap().contains("SUBCOMMANDS"));
        assert!(page(&["download"]).unwrap().contains("down\\-limit"));
        assert_eq!(page(&["upload"]).unwrap_err().exit(), Exit::Usage);
    }

    /// Each shell is told of every command.
    #[test]
    fn every_shell_is_served() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut args::definition(), NAME, &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in args::definition().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}");
            }
        }
    }
}
