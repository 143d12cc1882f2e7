//! A run as tables for other programs: comma-separated values (RFC 4180), a line of names on top.
//! Times are virtual seconds, sizes bytes, rates bytes per second; what there is not is empty.

use std::borrow::Cow;
use std::fmt::Display;

use ripcurrent_proto::base::time::{Duration, Instant};

use super::{Case, Report, Timeline};
use crate::scenario::Scenario;

/// A line for each host.
#[must_use]
pub fn hosts(scenario: &Scenario, report: &Report) -> String {
    let mut table = String::from(
        "host,group,role,arrived_s,completed_s,wait_s,up,down,downloaded,uploaded,wasted,received,whole\n",
    );
    for host in &report.hosts {
        let group = scenario
            .groups
            .get(host.group)
            .map_or("", |group| &group.name);
        let cells: [&dyn Display; 13] = [
            &quoted(&host.name),
            &quoted(group),
            &host.role,
            &seconds(host.arrived),
            &maybe(host.completed.map(seconds)),
            &maybe(host.wait().map(in_seconds)),
            &maybe(host.up),
            &maybe(host.down),
            &host.downloaded,
            &host.uploaded,
            &host.wasted,
            &host.received,
            &host.whole,
        ];
        push(&mut table, &cells);
    }
    table
}

/// A line for each of many runs.
#[must_use]
pub fn runs(cases: &[&Case]) -> String {
    let mut table = String::from(
        "scenario,seed,backend,success,ended_s,bound_s,last_over_bound,mean_over_bound,seed_copies,\
         utilisation,overhead,waste,fairness,digest\n",
    );
    for Case {
        name,
        backend,
        report,
        score,
        ..
    } in cases
    {
        let cells: [&dyn Display; 14] = [
            &quoted(name),
            &report.seed,
            backend,
            &report.is_success(),
            &seconds(report.ended),
            &in_seconds(report.bound.fluid),
            &maybe(score.last_over_bound),
            &maybe(score.mean_over_bound),
            &maybe(score.seed_copies),
            &maybe(score.utilisation),
            &score.overhead,
            &score.waste,
            &maybe(score.fairness),
            &report.digest,
        ];
        push(&mut table, &cells);
    }
    table
}

/// A line for each group at each sample. The copies of pieces are those of the whole swarm, the same
/// for all groups of a sample.
#[must_use]
pub fn timeline(scenario: &Scenario, timeline: &Timeline) -> String {
    let mut table = String::from(
        "at_s,group,running,complete,had,uploaded,downloaded,wasted,received,connections,\
         up_capacity,least_copies,mean_copies\n",
    );
    for sample in &timeline.samples {
        let copies = sample.availability.mean_milli() as f64 / 1000.0;
        for (group, counts) in scenario.groups.iter().zip(&sample.groups) {
            let cells: [&dyn Display; 13] = [
                &seconds(sample.at),
                &quoted(&group.name),
                &counts.running,
                &counts.complete,
                &counts.had,
                &counts.uploaded,
                &counts.downloaded,
                &counts.wasted,
                &counts.received,
                &counts.connections,
                &counts.up_capacity,
                &sample.availability.min(),
                &copies,
            ];
            push(&mut table, &cells);
        }
    }
    table
}

/// Appends a line.
fn push(table: &mut String, cells: &[&dyn Display]) {
    for (cell, at) in cells.iter().zip(0..) {
        if at > 0 {
            table.push(',');
        }
        table.push_str(&cell.to_string());
    }
    table.push('\n');
}

/// A text that a comma, a quote or a line's end does not break.
fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

fn maybe(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn seconds(at: Instant) -> f64 {
    in_seconds(at.since(Instant::ZERO))
}

fn in_seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    /// Every line has as many cells as the first, also where a name holds commas and quotes.
    #[test]
    fn names_do_not_break_the_table() {
        let table = hosts(&example::scenario(), &example::report());
        let mut lines = table.lines();
        let names = lines.next().expect("names");
        assert_eq!(names.split(',').count(), 13);
        let seed = "seed-1,seed,seed,0,,,1024,,0,1500,0,0,true";
        assert_eq!(lines.next(), Some(seed));
        let leecher = "\"<b>,\"\"leecher\"\"-1\",\"<b>,\"\"leecher\"\"\",leecher,0,10,10,";
        assert!(
            lines.next().expect("a leecher").starts_with(leecher),
            "{table}"
        );
    }

    /// Two groups at three samples are six lines, in the order of time.
    #[test]
    fn the_timeline_is_a_line_for_each_group_and_sample() {
        let table = timeline(&example::scenario(), &example::report().timeline);
        let times: Vec<_> = table
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').next())
            .collect();
        assert_eq!(times, ["0", "0", "1", "1", "2", "2"]);
        assert!(table.ends_with(",3000,4,4\n"), "{table}");
    }
}
