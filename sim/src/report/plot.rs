//! Curves as SVG. Colours of axes and text are placeholders: the page's style maps them to those of
//! the reader's theme, so nothing here is black or white.

use plotters::prelude::*;

/// The size of a plot in pixels; pages scale it.
const SIZE: (u32, u32) = (720, 250);
/// What the page maps to the colour of text.
const INK: RGBColor = RGBColor(1, 1, 1);
/// What the page maps to the colour of grids.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// Of series, one after the other: to be told apart on light and dark ground, and by those who
/// confuse red and green (after Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 160, 220),
    RGBColor(190, 150, 0),
];
/// The most points of a curve that are drawn.
const POINTS_MAX: usize = 400;

/// Curves over one pair of axes.
#[derive(Debug, Default)]
pub(super) struct Plot {
    /// What is drawn upward, and its unit.
    pub(super) up: &'static str,
    /// What is drawn to the right, and its unit.
    pub(super) right: &'static str,
    /// The curves.
    pub(super) series: Vec<Series>,
    /// Upright lines: where, and the name of what stands there if it is to be in the legend.
    pub(super) lines: Vec<f64>,
    /// The least that the upward axis reaches to.
    pub(super) least_top: f64,
}

/// A curve, and what it is called.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// In the order of the first.
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a plot could not be drawn: {0}")]
pub struct PlotError(String);

/// The colour of the curve of that number, as in `#0072b2`.
pub(super) fn colour(number: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[number % COLOURS.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

impl Plot {
    /// An `svg` element.
    pub(super) fn svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        self.draw(&area)
            .and_then(|()| area.present())
            .map_err(|error| PlotError(error.to_string()))?;
        drop(area);
        Ok(svg)
    }

    fn draw<'a>(&self, area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>) -> Drawn<'a> {
        let (right, top) = self.extent();
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        let text = ("sans-serif", 13).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(text)
            .x_desc(self.right)
            .y_desc(self.up)
            .y_labels(6)
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .draw()?;
        for at in &self.lines {
            let line = [(*at, 0.0), (*at, top)];
            chart.draw_series(DashedLineSeries::new(line, 5, 4, INK.stroke_width(1)))?;
        }
        for (series, number) in self.series.iter().zip(0..) {
            let colour = COLOURS[number % COLOURS.len()];
            let points = thinned(&series.points);
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        Ok(())
    }

    /// The ends of both axes, with a little space behind the greatest.
    fn extent(&self) -> (f64, f64) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let right = points().map(|(x, _)| *x).chain(self.lines.iter().copied());
        let top = points()
            .map(|(_, y)| *y * 1.05)
            .fold(self.least_top, f64::max);
        let some = |most: f64| if most > 0.0 { most } else { 1.0 };
        (some(right.fold(0.0, f64::max) * 1.02), some(top))
    }
}

/// A number as people write it, without a point where it is whole.
fn label(value: &f64) -> String {
    ((value * 1000.0).round() / 1000.0).to_string()
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// So many points that a curve looks the same: every n-th, and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points
        .last()
        .filter(|_| points.len() % step != 1 && step > 1);
    points.iter().step_by(step).chain(last).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            up: "copies",
            right: "seconds",
            series: vec![Series {
                name: "mean".into(),
                points,
            }],
            lines: vec![20.0],
            least_top: 0.0,
        }
    }

    /// A plot is one SVG element with its axes named, a curve in the first colour, and nothing from
    /// elsewhere.
    #[test]
    fn a_plot_is_an_image_of_its_own() {
        let svg = plot(
            (0..2000)
                .map(|x| (f64::from(x), f64::from(x % 7)))
                .collect(),
        )
        .svg();
        let svg = svg.expect("a plot");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("copies") && svg.contains("seconds"), "{svg}");
        assert!(svg.contains("#0072B2") && !svg.contains("href"));
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
    }

    /// Nothing to draw is an empty plot, not a division by zero.
    #[test]
    fn a_plot_of_nothing_is_drawn() {
        for points in [vec![], vec![(0.0, 0.0)]] {
            let mut plot = plot(points);
            plot.lines.clear();
            assert!(plot.svg().is_ok());
        }
    }

    /// Thinning keeps both ends of a curve.
    #[test]
    fn a_thinned_curve_has_its_ends() {
        for len in [1, 399, 400, 401, 801, 5000] {
            let points: Vec<_> = (0..len).map(|x| (f64::from(x), 0.0)).collect();
            let thin = thinned(&points);
            assert!(thin.len() <= POINTS_MAX + 1);
            assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
        }
    }
}
