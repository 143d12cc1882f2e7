//! A run, or many, as one page for people: HTML that needs nothing from elsewhere and no script.
//! Whatever comes from a scenario is escaped.

mod course;
mod markup;
mod overview;
mod single;

pub use overview::overview;
pub use single::single;

/// For light and dark, for screens and paper. The plots' placeholders for ink and grid become the
/// theme's colours.
const STYLE: &str = include_str!("page/style.css");

/// A whole page.
fn page(title: &str, body: &str) -> String {
    let title = markup::Escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}
