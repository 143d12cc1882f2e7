//! The page of one run.

use ripcurrent_proto::base::time::{Duration, Instant};

use super::super::{Case, PlotError};
use super::markup::{Escaped, number, percent, table, verdict};
use super::{course, page};
use crate::quantity::{Rate, Size};
use crate::score::GroupScore;

/// The page of a run.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn single(case: &Case) -> Result<String, PlotError> {
    let report = &case.report;
    let mut body = format!("<h1>{}</h1>\n", Escaped(&case.name));
    body += &format!(
        "<p class=\"soft\">seed {}, {} hosts on {}, {}, {} s of virtual time</p>\n\
         <p class=\"soft\"><code>digest {}</code></p>\n",
        report.seed,
        report.hosts.len(),
        case.backend,
        Size(case.scenario.size()),
        seconds(report.ended.since(Instant::ZERO)),
        report.digest,
    );
    body += &verdict(&report.failures(), "Everything held that must hold.");
    body += "<h2>Score</h2>\n";
    body += &score(case);
    body += &groups(case);
    body += "<h2>Course</h2>\n";
    body += &course::figures(case)?;
    if !report.timeline.marks.is_empty() {
        body += "<h2>What was done to the swarm</h2>\n<p class=\"soft\">Dashed in the plots.</p>\n";
        body += &marks(case);
    }
    body += "<h2>Hosts</h2>\n<details><summary>one by one</summary>\n";
    body += &hosts(case);
    body += "</details>\n<h2>Scenario</h2>\n<details><summary>as it was read</summary>\n";
    body += &format!(
        "<pre><code>{}</code></pre>\n</details>\n",
        Escaped(&case.scenario.to_string())
    );
    Ok(page(&format!("{}, seed {}", case.name, report.seed), &body))
}

fn score(case: &Case) -> String {
    let (score, bound) = (&case.score, case.report.bound);
    let time = |time: Option<Duration>| {
        time.map_or_else(|| "–".into(), |time| format!("{} s", seconds(time)))
    };
    let mut rows = vec![
        (
            "fluid bound".into(),
            format!("{} s: {}", seconds(bound.fluid), bound.limit),
        ),
        (
            "bound for whole pieces".into(),
            format!("{} s", seconds(bound.store_and_forward)),
        ),
        (
            "the last waited".into(),
            format!(
                "{}, {} times the bound, {} times that for whole pieces",
                time(score.last),
                number(score.last_over_bound),
                number(score.last_over_forwarding)
            ),
        ),
        (
            "they waited in the mean".into(),
            format!(
                "{}, {} times the bound",
                time(score.mean),
                number(score.mean_over_bound)
            ),
        ),
        (
            "sent by seeds until every piece was elsewhere".into(),
            format!("{} copies", number(score.seed_copies)),
        ),
        (
            "uplinks used while something was missing".into(),
            percent(score.utilisation),
        ),
        (
            "received beside blocks".into(),
            percent(Some(score.overhead)),
        ),
        (
            "blocks received for nothing".into(),
            percent(Some(score.waste)),
        ),
        (
            "fairness (Jain's index of sent to received)".into(),
            number(score.fairness),
        ),
    ];
    if let Some(riders) = score.free_riders {
        rows.push((String::from("free riders"), riders.to_string()));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name, value]);
    table(&["", "'"], rows)
}

fn groups(case: &Case) -> String {
    let names = [
        "'group",
        "'role",
        "hosts",
        "up",
        "down",
        "complete",
        "first",
        "median",
        "last",
        "received",
        "sent",
        "sent / received",
    ];
    let groups = case.scenario.groups.iter().zip(&case.score.groups);
    let rows = groups.map(|(plan, group)| {
        let [first, median, last] = waits(group);
        let ratio = (group.downloaded > 0).then(|| group.uploaded as f64 / group.downloaded as f64);
        vec![
            group.name.clone(),
            group.role.to_string(),
            group.hosts.to_string(),
            plan.up.to_string(),
            plan.down.to_string(),
            group.complete.to_string(),
            first,
            median,
            last,
            Size(group.downloaded).to_string(),
            Size(group.uploaded).to_string(),
            number(ratio),
        ]
    });
    let rows: Vec<_> = rows.collect();
    format!("<h2>Groups</h2>\n{}", table(&names, rows.into_iter()))
}

fn waits(group: &GroupScore) -> [String; 3] {
    match group.waits {
        Some(waits) => waits.map(|wait| format!("{} s", seconds(wait))),
        None => [(); 3].map(|()| "–".into()),
    }
}

fn marks(case: &Case) -> String {
    let marks = case.report.timeline.marks.iter();
    let rows = marks.map(|mark| {
        vec![
            format!("{} s", seconds(mark.at.since(Instant::ZERO))),
            mark.what.clone(),
        ]
    });
    table(&["at", "'what"], rows)
}

fn hosts(case: &Case) -> String {
    let names = [
        "'host", "'role", "up", "down", "arrived", "waited", "received", "sent", "wasted", "'data",
    ];
    let rate = |rate: Option<std::num::NonZeroU64>| {
        rate.map_or_else(|| "–".into(), |rate| Rate(rate.get()).to_string())
    };
    let rows = case.report.hosts.iter().map(|host| {
        let wait = host.wait().map(|wait| format!("{} s", seconds(wait)));
        vec![
            host.name.clone(),
            host.role.to_string(),
            rate(host.up),
            rate(host.down),
            format!("{} s", seconds(host.arrived.since(Instant::ZERO))),
            wait.unwrap_or_else(|| "–".into()),
            Size(host.downloaded).to_string(),
            Size(host.uploaded).to_string(),
            Size(host.wasted).to_string(),
            if host.whole { "whole" } else { "not whole" }.into(),
        ]
    });
    table(&names, rows)
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Backend;
    use crate::report::{Shortfall, example};

    fn case() -> Case {
        let (scenario, report) = (example::scenario(), example::report());
        Case::new("a & b.toml".into(), scenario, Backend::Direct, report)
    }

    /// The page stands alone: it loads nothing, runs nothing, and names are text.
    #[test]
    fn a_page_stands_alone() {
        let page = single(&case()).expect("a page");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        for outside in ["<script", "<link", "src=", "@import", "url(", "<b>,"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("a &amp; b.toml") && page.contains("&lt;b&gt;,"));
        assert_eq!(page.matches("<svg").count(), 8);
        assert_eq!(page.matches("</figure>").count(), 8);
    }

    /// Bounds, faults and figures are on it.
    #[test]
    fn the_page_tells_the_score() {
        let page = single(&case()).expect("a page");
        for text in [
            "14.00 s, 1.400 times the bound, 1.250 times that for whole pieces",
            "50.0 %",
            "&quot;leecher&quot;-1 fails",
            "Everything held that must hold.",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }

    /// What failed stands on top; a run without samples has its page too.
    #[test]
    fn failures_are_on_top() {
        let mut case = case();
        let name = case.report.hosts[3].name.clone();
        case.report.shortfalls.push(Shortfall::Incomplete(name));
        case.forget_course();
        let page = single(&case).expect("a page");
        let failure = page.find("class=\"bad\"").expect("a failure");
        assert!(failure < page.find("<h2>").expect("a heading"));
    }
}
