//! The few elements that the pages are made of.

use std::fmt::{self, Write as _};

use super::super::plot::{self, Plot, PlotError};

/// Displays a text so that it is nothing but text, between tags and in attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// A plot under its title, with a legend of its curves.
pub(super) fn figure(title: &str, plot: &Plot) -> Result<String, PlotError> {
    let svg = plot.svg()?.replacen("<svg", "<svg role=\"img\"", 1);
    let mut keys = String::new();
    for (series, number) in plot.series.iter().zip(0..) {
        let (colour, name) = (plot::colour(number), Escaped(&series.name));
        keys += &format!("<span class=\"key\"><i style=\"background:{colour}\"></i>{name}</span>");
    }
    let title = Escaped(title);
    Ok(format!(
        "<figure><figcaption><b>{title}</b><br>{keys}</figcaption>\n{svg}</figure>\n"
    ))
}

/// A table; a column whose name begins with `'` holds text. Cells are escaped here.
pub(super) fn table(names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let class = |name: &str| {
        if name.starts_with('\'') {
            " class=\"text\""
        } else {
            ""
        }
    };
    let mut table = String::from("<div class=\"wide\"><table>\n<tr>");
    for name in names {
        let text = Escaped(name.trim_start_matches('\''));
        table += &format!("<th{}>{text}</th>", class(name));
    }
    for row in rows {
        table += "</tr>\n<tr>";
        for (name, cell) in names.iter().zip(&row) {
            table += &format!("<td{}>{}</td>", class(name), Escaped(cell));
        }
    }
    table + "</tr>\n</table></div>\n"
}

/// Lines that each say that something failed; or that nothing did.
pub(super) fn verdict(failures: &[String], all_well: &str) -> String {
    if failures.is_empty() {
        return format!("<p class=\"good\">{}</p>\n", Escaped(all_well));
    }
    let lines = failures.iter();
    lines
        .map(|failure| format!("<p class=\"bad\">{}</p>\n", Escaped(failure)))
        .collect()
}

/// A number with three digits behind the point, or a dash.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

/// A share in percent, or a dash.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.1} %", value * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name cannot open a tag or end an attribute.
    #[test]
    fn a_name_stays_a_name() {
        let text = Escaped("<img src=x onerror='a'>&\"").to_string();
        assert_eq!(text, "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
        let table = table(
            &["'name", "n"],
            [vec!["<b>".into(), "1".into()]].into_iter(),
        );
        assert!(
            table.contains("<td class=\"text\">&lt;b&gt;</td><td>1</td>"),
            "{table}"
        );
    }
}
