//! The files of a report.

use std::fs;
use std::io;
use std::path::Path;

use ripcurrent_sim::report::{Case, PlotError, json, page, table};

use crate::escape::Escaped;
use crate::exit::Failure;
use crate::say::{self, Level};

/// Makes the folder, before anything is simulated for it.
pub(super) fn prepare(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::disk("create", folder, error))
}

/// Writes the page and the tables of a run.
pub(super) fn single(folder: &Path, case: &Case) -> Result<(), Failure> {
    write_page(folder, page::single(case))?;
    write(folder, "report.json", &format!("{:#}\n", json::run(case)))?;
    write(
        folder,
        "hosts.csv",
        &table::hosts(&case.scenario, &case.report),
    )?;
    let course = table::timeline(&case.scenario, &case.report.timeline);
    write(folder, "timeline.csv", &course)
}

/// Writes the page and the tables of many runs.
pub(super) fn sweep(folder: &Path, name: &str, cases: &[&Case]) -> Result<(), Failure> {
    write_page(folder, page::overview(name, cases))?;
    write(folder, "report.json", &format!("{:#}\n", json::runs(cases)))?;
    write(folder, "report.csv", &table::runs(cases))
}

/// Says where the page is.
pub(super) fn tell(folder: &Path, level: Level) {
    if level > Level::Quiet {
        let page = folder.join("report.html");
        say::line(format_args!("report: {}", Escaped::path(&page)));
    }
}

fn write_page(folder: &Path, page: Result<String, PlotError>) -> Result<(), Failure> {
    let file = folder.join("report.html");
    let page = page.map_err(|error| Failure::disk("write", &file, io::Error::other(error)))?;
    write(folder, "report.html", &page)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let file = folder.join(name);
    fs::write(&file, text).map_err(|error| Failure::disk("write", &file, error))
}
