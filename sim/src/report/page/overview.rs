//! The page of many runs.

use super::super::plot::{Plot, Series};
use super::super::{Case, PlotError};
use super::markup::{Escaped, figure, number, percent, table};
use super::page;
use crate::score::Spread;

/// A figure of a run, if it has one.
type Figure = fn(&Case) -> Option<f64>;

/// The page of many runs, those that failed first; `title` is what they have in common.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn overview(title: &str, cases: &[&Case]) -> Result<String, PlotError> {
    let failed = cases
        .iter()
        .filter(|case| !case.report.is_success())
        .count();
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"soft\">{} seeds</p>\n",
        Escaped(title),
        cases.len()
    );
    body += &match failed {
        0 => "<p class=\"good\">Everything held that must hold, at every seed.</p>\n".into(),
        failed => format!("<p class=\"bad\">{failed} failed.</p>\n"),
    };
    body += "<h2>Spread</h2>\n";
    body += &spread(cases);
    body += &figure(
        "Times in bounds, from the best seed to the worst",
        &ratios(cases),
    )?;
    body += "<h2>Seeds</h2>\n";
    body += &seeds(cases);
    Ok(page(title, &body))
}

fn spread(cases: &[&Case]) -> String {
    let figures: [(&str, Figure); 6] = [
        ("last / bound", |case| case.score.last_over_bound),
        ("mean / bound", |case| case.score.mean_over_bound),
        ("copies from seeds", |case| case.score.seed_copies),
        ("uplinks used", |case| case.score.utilisation),
        ("overhead", |case| Some(case.score.overhead)),
        ("waste", |case| Some(case.score.waste)),
    ];
    let rows = figures.into_iter().filter_map(|(name, value)| {
        let spread = Spread::of(cases.iter().copied().filter_map(value))?;
        let cells = [spread.least, spread.median, spread.most].map(|value| number(Some(value)));
        Some([name.to_owned()].into_iter().chain(cells).collect())
    });
    table(&["", "least", "median", "most"], rows)
}

fn ratios(cases: &[&Case]) -> Plot {
    let curve = |name: &str, value: Figure| {
        let mut ratios: Vec<f64> = cases.iter().copied().filter_map(value).collect();
        ratios.sort_by(f64::total_cmp);
        let points = ratios.into_iter().zip(1..);
        Series {
            name: name.into(),
            points: points.map(|(ratio, at)| (f64::from(at), ratio)).collect(),
        }
    };
    Plot {
        up: "times the bound",
        right: "seeds",
        series: vec![
            curve("last", |case| case.score.last_over_bound),
            curve("mean", |case| case.score.mean_over_bound),
        ],
        lines: Vec::new(),
        least_top: 1.2,
    }
}

fn seeds(cases: &[&Case]) -> String {
    let names = [
        "seed",
        "'outcome",
        "hosts",
        "last / bound",
        "mean / bound",
        "copies from seeds",
        "uplinks used",
        "overhead",
        "waste",
        "'digest",
    ];
    let cases = cases.iter().copied();
    let (failed, fine): (Vec<&Case>, Vec<&Case>) =
        cases.partition(|case| !case.report.is_success());
    let rows = failed.into_iter().chain(fine).map(|case| {
        let score = &case.score;
        let failures = case.report.failures();
        let outcome = failures.first().map_or("fine", String::as_str);
        vec![
            case.report.seed.to_string(),
            outcome.to_owned(),
            case.report.hosts.len().to_string(),
            number(score.last_over_bound),
            number(score.mean_over_bound),
            number(score.seed_copies),
            percent(score.utilisation),
            percent(Some(score.overhead)),
            percent(Some(score.waste)),
            case.report.digest.to_string(),
        ]
    });
    table(&names, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Backend;
    use crate::report::{Shortfall, example};

    /// Failures come first, and the spread is over those that have a figure.
    #[test]
    fn failures_come_first() {
        let case = |seed| {
            let (scenario, mut report) = (example::scenario(), example::report());
            report.seed = seed;
            Case::new("a.toml".into(), scenario, Backend::Direct, report)
        };
        let mut lost = case(9);
        lost.report.hosts[1].completed = None;
        lost.report
            .shortfalls
            .push(Shortfall::Incomplete("a".into()));
        lost = Case::new(lost.name, lost.scenario, lost.backend, lost.report);
        let page = overview("<i>", &[&case(8), &lost]).expect("a page");
        assert!(page.contains("1 failed.") && page.contains("&lt;i&gt;") && !page.contains("<i>,"));
        let place = |seed: &str| page.find(seed).expect("a row");
        assert!(place("<tr><td>9</td>") < place("<tr><td>8</td>"));
        assert!(page.contains("<td>last / bound</td><td>1.400</td><td>1.400</td><td>1.400</td>"));
    }
}
