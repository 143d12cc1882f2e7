//! The law of the house, kept by a test: which room may import which, words that are banned, how
//! long a file may be, and that no file lies about unused. Every complaint names its remedy.
//!
//! Only code is judged: comments, the insides of literals and what is under `#[cfg(test)]` are
//! blanked out first. Rust's own grammar is not parsed; where a rule and good code disagree, mend
//! the rule here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors: a room imports from itself and from lower floors. `meta` stands above `wire` because
/// torrent files are bencoded; the vocabulary speaks of torrents and is spoken by every machine;
/// machines, all on one floor, never import each other.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &["base"]),
    ("formats", &["wire"]),
    ("descriptions", &["meta"]),
    ("vocabulary", &["api"]),
    (
        "machines",
        &[
            "choke", "dht", "lsd", "mse", "peer", "picker", "store", "swarm", "tracker", "utp",
            "webseed",
        ],
    ),
    ("torrent", &["torrent"]),
    ("engine", &["engine"]),
    ("drive", &["drive"]),
    ("conformance", &["conformance"]),
    ("words", &["guide"]),
];

/// Words that code outside tests does not contain, each with what to write instead.
const BANNED: &[(&str, &str)] = &[
    (
        "extern crate std",
        "stay `no_std`: take it from `core` or `alloc`, or let the host do it",
    ),
    ("std::", "use `core::` or `alloc::`"),
    ("todo!", "write it, or leave the whole feature out"),
    ("unimplemented!", "write it, or leave the whole feature out"),
    ("dbg!", "remove it, or use `tracing::trace!`"),
    ("print!", "use `tracing`, or an `Event` for people"),
    ("println!", "use `tracing`, or an `Event` for people"),
    ("eprint!", "use `tracing`, or an `Event` for people"),
    ("eprintln!", "use `tracing`, or an `Event` for people"),
    (
        ".unwrap()",
        "use `?` or `let else`; for our own invariant `.expect(\"why it holds\")`",
    ),
    (
        "Rc<",
        "keep an id or an index; one owner, `&mut` for the rest",
    ),
    ("RefCell<", "pass `&mut`: calls go down, values come up"),
    (
        "dyn Fn",
        "return a value that says what to do: no callbacks",
    ),
    (
        "f32",
        "use integers: rates and windows must be the same everywhere",
    ),
    (
        "f64",
        "use integers: rates and windows must be the same everywhere",
    ),
    ("RandomState", "use a seeded hasher, so that runs repeat"),
    (
        "Other(String)",
        "name what happened in a variant of its own",
    ),
    (
        "#[allow(",
        "use `#[expect(.., reason = \"..\")]`, which goes when its cause goes",
    ),
    (
        "#![allow(",
        "use `#[expect(.., reason = \"..\")]` on the item it is for",
    ),
    ("#[path", "put the file where its module name says"),
];

/// Bans that do not hold in a room, each with its reason.
const EXEMPT: &[(&str, &str, &str)] = &[
    (
        "conformance",
        "Rc<",
        "a script's machine and its scene, a future that the machine polls, share one ledger",
    ),
    (
        "conformance",
        "RefCell<",
        "a future is polled without arguments, so `&mut` cannot reach it",
    ),
];

/// The most lines of a file, tests not counted.
const MOST_LINES: usize = 600;

/// Files over [`MOST_LINES`] and how long each may be. This list only shrinks: an entry whose file
/// has become short enough, or shorter than its entry, must be removed or lowered.
const LONG_FILES: &[(&str, usize)] = &[];

/// One file below `src`.
struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The module path that the file is, empty for `lib.rs`.
    fn module(&self) -> Vec<&str> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        match stem {
            "lib" => Vec::new(),
            _ => stem
                .strip_suffix("/mod")
                .unwrap_or(stem)
                .split('/')
                .collect(),
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let sources = read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let complaints = judge(&sources, LONG_FILES);
    assert!(
        complaints.is_empty(),
        "\n{}\n\nThe law stands in proto/tests/tidy.rs.",
        complaints.join("\n")
    );
}

/// Everything that is wrong with the sources, one line each.
fn judge(sources: &[Source], long_files: &[(&str, usize)]) -> Vec<String> {
    let (reached, tests) = reach(sources);
    let mut complaints = Vec::new();
    for source in sources {
        let path = &source.path;
        if !reached.contains(path) {
            complaints.push(format!(
                "{path}: not reachable from lib.rs: declare it with `mod`, or delete it"
            ));
        }
        if !source.text.starts_with("//!") {
            complaints.push(format!(
                "{path}:1: opens without `//!`: say what the room is for and what always holds in it"
            ));
        }
        if tests.contains(path) {
            continue;
        }
        let (code, lines) = without_tests(strip(&source.text));
        complaints.extend(imports(source, &code));
        complaints.extend(words(path, &code));
        complaints.extend(length(path, lines, long_files));
    }
    for (path, _) in long_files {
        if !sources.iter().any(|source| source.path == *path) {
            complaints.push(format!("{path}: gone: remove it from LONG_FILES"));
        }
    }
    complaints
}

/// The files reachable from `lib.rs` through `mod` declarations, and those of them that are only
/// compiled for tests.
fn reach(sources: &[Source]) -> (BTreeSet<String>, BTreeSet<String>) {
    let by_path: BTreeMap<&str, &Source> = sources
        .iter()
        .map(|source| (source.path.as_str(), source))
        .collect();
    let (mut reached, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![("lib.rs".to_owned(), false)];
    while let Some((path, test)) = open.pop() {
        let Some(source) = by_path.get(path.as_str()) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        if test {
            tests.insert(path);
        }
        let all = strip(&source.text);
        let (code, _) = without_tests(all.clone());
        let kept = children(&code);
        for child in children(&all) {
            let base = [source.module(), vec![child]].concat().join("/");
            let only_test = test || !kept.contains(&child);
            open.push((format!("{base}.rs"), only_test));
            open.push((format!("{base}/mod.rs"), only_test));
        }
    }
    (reached, tests)
}

/// The names in `mod name;` declarations.
fn children(code: &str) -> Vec<&str> {
    occurrences(code, "mod ")
        .filter_map(|at| {
            let rest = &code[at + "mod ".len()..];
            let name = ident(rest);
            (!name.is_empty() && rest[name.len()..].trim_start().starts_with(';')).then_some(name)
        })
        .collect()
}

/// Complaints about imports that do not go down.
fn imports(source: &Source, code: &str) -> Vec<String> {
    let module = source.module();
    let Some(&room) = module.first() else {
        return Vec::new();
    };
    let path = &source.path;
    let Some(floor) = floor_of(room) else {
        return vec![format!(
            "{path}: room `{room}` stands on no floor: add it to FLOORS in tidy.rs"
        )];
    };
    let mut complaints = Vec::new();
    for (line, target) in rooms_named(&module, code) {
        let why = match floor_of(target) {
            _ if target == room => continue,
            Some(other) if other < floor => continue,
            Some(other) if other == floor => {
                "rooms of one floor never import each other: let the floor above carry the value"
            }
            Some(_) => "calls go down, values come up: return the value, or move the type lower",
            None => "no such room: name the room itself, or add it to FLOORS in tidy.rs",
        };
        complaints.push(format!("{path}:{line}: `{room}` names `{target}`: {why}"));
    }
    complaints
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, rooms)| rooms.contains(&room))
}

/// Every room that the code names by `crate::` or by enough `super::`, with its line.
fn rooms_named<'a>(module: &[&str], code: &'a str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let supers = "super::".repeat(module.len());
    for prefix in ["crate::", supers.as_str()] {
        for at in occurrences(code, prefix) {
            let rest = &code[at + prefix.len()..];
            let line = line_of(code, at);
            match rest.strip_prefix('{') {
                Some(group) => found.extend(heads(group).into_iter().map(|head| (line, head))),
                None if rest.starts_with("super::") => {}
                None => found.push((line, ident(rest))),
            }
        }
    }
    found
}

/// The first names of the members of a `use` group whose brace is already open.
fn heads(group: &str) -> Vec<&str> {
    let (mut depth, mut fresh, mut heads) = (0, true, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && !byte.is_ascii_whitespace() => {
                heads.push(ident(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

/// Complaints about banned words.
fn words(path: &str, code: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let room = path.split(['/', '.']).next();
    let exempt = |word| {
        let mut exempt = EXEMPT.iter();
        exempt.any(|(place, banned, _)| Some(*place) == room && *banned == word)
    };
    for (word, remedy) in BANNED.iter().filter(|(word, _)| !exempt(*word)) {
        for at in occurrences(code, word) {
            complaints.push(format!("{path}:{}: `{word}`: {remedy}", line_of(code, at)));
        }
    }
    complaints
}

/// A complaint about the length of a file of `lines` lines, or about its exception.
fn length(path: &str, lines: usize, long_files: &[(&str, usize)]) -> Option<String> {
    let exception = long_files.iter().find(|(listed, _)| *listed == path);
    match exception {
        Some((_, _)) if lines <= MOST_LINES => Some(format!(
            "{path}: {lines} lines are short enough: remove it from LONG_FILES"
        )),
        Some((_, most)) if lines > *most => Some(format!(
            "{path}: grew to {lines} lines from {most}: split it by meaning"
        )),
        Some((_, most)) if lines < *most => Some(format!(
            "{path}: shrank to {lines} lines: lower its entry in LONG_FILES from {most}"
        )),
        Some(_) => None,
        None if lines > MOST_LINES => Some(format!(
            "{path}: {lines} lines without tests, at most {MOST_LINES}: split it by meaning"
        )),
        None => None,
    }
}

/// Where `word` stands in `code`, not as part of a longer name.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let (first, last) = (word.as_bytes().first(), word.as_bytes().last());
            let before = at.checked_sub(1).and_then(|at| code.as_bytes().get(at));
            let after = code.as_bytes().get(at + word.len());
            let longer = part(first) && part(before) || part(last) && part(after);
            !longer
        })
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

/// The code with every item under `#[cfg(test)]` blanked out, and how many of its lines are not of
/// such an item.
fn without_tests(mut code: String) -> (String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let mut lines = code.lines().count();
    while let Some(at) = code.find(MARK) {
        let end = at + MARK.len() + item_end(&code.as_bytes()[at + MARK.len()..]);
        lines -= code[at..end].lines().count();
        code.replace_range(at..end, &blank(&code[at..end]));
    }
    (code, lines)
}

/// Where the item that begins here ends: after its `;`, or after its closing brace.
fn item_end(code: &[u8]) -> usize {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' => {
                depth -= 1;
                let next = code[at + 1..]
                    .iter()
                    .find(|byte| !byte.is_ascii_whitespace());
                if depth == 0 && next != Some(&b';') {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The text with comments and the insides of literals blanked out, lines kept.
fn strip(text: &str) -> String {
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    while at < text.len() {
        let len = literal_or_comment(text.as_bytes(), at);
        if len > 0 {
            code.push_str(&blank(&text[at..at + len]));
            at += len;
        } else {
            let next = (at + 1..).find(|next| text.is_char_boundary(*next));
            let next = next.expect("the end is a boundary");
            code.push_str(&text[at..next]);
            at = next;
        }
    }
    code
}

/// Spaces instead of the text, lines kept.
fn blank(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { '\n' } else { ' ' })
        .collect()
}

/// The length of the comment or literal that begins at `at`; 0 where none does.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let named = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => {
            let end = rest.iter().position(|byte| *byte == b'\n');
            end.unwrap_or(rest.len())
        }
        [b'/', b'*', ..] => block_comment(rest),
        [b'r', b'"' | b'#', ..] if !named => raw_string(rest, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !named => raw_string(rest, 2),
        [b'"', ..] => quoted(rest, b'"'),
        // A lifetime has no closing quote right behind its first character.
        [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => quoted(rest, b'\''),
        [b'\'', first, ..] if !first.is_ascii() => quoted(rest, b'\''),
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the raw string whose prefix has `prefix` letters; 0 for a raw identifier.
fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let open = prefix + hashes + 1;
    if rest.get(open - 1) != Some(&b'"') {
        return 0;
    }
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let end = rest[open..]
        .windows(close.len())
        .position(|window| window == close);
    end.map_or(rest.len(), |end| open + end + close.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn read_sources(root: &Path) -> Vec<Source> {
    let (mut sources, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path
                    .strip_prefix(root)
                    .expect("it was found below the root");
                let text = fs::read_to_string(&path).expect("sources are readable UTF-8");
                let path = below.to_str().expect("names are UTF-8").replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The tests of the test: bad houses, each with the complaint it must bring.
mod laws {
    use super::*;

    /// Judges a house of these files, each given the opening line that every file needs.
    fn house(files: &[(&str, &str)]) -> Vec<String> {
        let open = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: format!("//! A room.\n{text}"),
        };
        judge(&files.iter().map(open).collect::<Vec<_>>(), &[])
    }

    #[track_caller]
    fn assert_one(complaints: &[String], parts: &[&str]) {
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        for part in parts {
            assert!(
                complaints[0].contains(part),
                "{part} is not in {complaints:?}"
            );
        }
    }

    // An import that goes up, spelled in each of the ways Rust has for it.
    #[test]
    fn imports_go_down() {
        for import in [
            "use crate::engine::Engine;",
            "use crate::{base::time::Instant, engine::{self, Output}};",
            "fn f(_: crate::engine::Output) {}",
            "use super::engine::Output;",
        ] {
            let lib = "mod base; mod peer; mod engine;";
            let files = [
                ("lib.rs", lib),
                ("base.rs", ""),
                ("engine.rs", ""),
                ("peer.rs", import),
            ];
            assert_one(
                &house(&files),
                &["peer.rs:2", "`peer` names `engine`", "values come up"],
            );
        }
        let files = [
            ("lib.rs", "mod peer; mod engine;"),
            ("engine.rs", ""),
            ("peer.rs", "mod upload;"),
            ("peer/upload.rs", "\nuse super::super::engine::Output;"),
        ];
        assert_one(
            &house(&files),
            &["peer/upload.rs:3", "`peer` names `engine`"],
        );
    }

    // Two machines stand side by side, so neither may know the other.
    #[test]
    fn machines_do_not_know_each_other() {
        let files = [
            ("lib.rs", "mod peer; mod picker;"),
            ("peer.rs", "use crate::picker::Picker;"),
            ("picker.rs", ""),
        ];
        assert_one(&house(&files), &["`peer` names `picker`", "floor above"]);
    }

    // What goes down, stays inside, or only appears in words and tests is nobody's business.
    #[test]
    fn good_imports_are_left_alone() {
        let peer = r#"
            //! [`crate::engine::Engine`] drives this.
            use crate::{base::id::ConnId, meta::layout::Layout};
            use super::wire::message;
            mod upload;
            const WORDS: &str = "crate::engine::Engine"; /* crate::engine */
            #[cfg(test)]
            mod tests { use crate::picker::Picker; }
        "#;
        let files = [
            ("lib.rs", "mod base; mod meta; mod wire; mod peer;"),
            ("base.rs", ""),
            ("meta.rs", "use crate::wire::bencode;"),
            ("wire.rs", ""),
            ("peer.rs", peer),
            ("peer/upload.rs", "use super::Queue; use crate::peer::Peer;"),
        ];
        assert_eq!(house(&files), Vec::<String>::new());
    }

    // A room that nobody gave a floor would escape the law.
    #[test]
    fn every_room_has_a_floor() {
        let files = [("lib.rs", "mod attic;"), ("attic.rs", "")];
        assert_one(&house(&files), &["`attic` stands on no floor", "FLOORS"]);
        let files = [
            ("lib.rs", "mod peer;"),
            ("peer.rs", "use crate::Everything;"),
        ];
        assert_one(
            &house(&files),
            &["`peer` names `Everything`", "no such room"],
        );
    }

    // Each banned word is found in code and comes with what to write instead.
    #[test]
    fn banned_words_are_found() {
        for (word, remedy) in BANNED {
            let files = [("lib.rs", "mod base;"), ("base.rs", &format!("\n{word}"))];
            let complaints = house(&files);
            let named = |line: &String| line.contains("base.rs:3") && line.contains(remedy);
            assert!(complaints.iter().any(named), "{word}: {complaints:?}");
        }
    }

    // The same words in comments, literals, tests or inside longer names are no offence.
    #[test]
    fn banned_words_are_only_found_in_code() {
        for (word, _) in BANNED {
            let text = format!(
                "// {word}\n/* /* {word} */ {word} */\nconst A: &str = r#\"{word}\"\"#;\n\
                 const Q: char = '\"'; fn f<'a>(_: &'a u8) {{}}\n\
                 #[cfg(test)]\nmod tests {{ fn g() {{ {word}; }} }}\n"
            );
            assert_eq!(house(&[("lib.rs", &text)]), Vec::<String>::new(), "{word}");
        }
        let text = "use my_std::x; fn f() { self_dbg!(); a.unwrap().unwrap_or(0) }";
        assert_one(&house(&[("lib.rs", text)]), &["`.unwrap()`"]);
    }

    // What follows a test module is code again.
    #[test]
    fn code_after_tests_is_judged() {
        let text =
            "#[cfg(test)]\nuse core::{mem, fmt};\n#[cfg(test)]\nmod tests {}\nfn f() { todo!() }";
        assert_one(&house(&[("lib.rs", text)]), &["lib.rs:6", "`todo!`"]);
    }

    // A file that no `mod` names is dead weight; one named for tests only is not judged as code.
    #[test]
    fn every_file_is_reached() {
        assert_one(
            &house(&[("lib.rs", ""), ("base.rs", "")]),
            &["base.rs", "not reachable"],
        );
        let files = [
            ("lib.rs", "mod base;"),
            ("base.rs", "#[cfg(test)]\nmod tests;\nmod id;"),
            ("base/tests.rs", "mod more; fn f() { a.unwrap() }"),
            ("base/tests/more.rs", "use crate::engine::Engine;"),
            ("base/id/mod.rs", ""),
        ];
        assert_eq!(house(&files), Vec::<String>::new());
    }

    // A room opens with words.
    #[test]
    fn every_file_opens_with_its_purpose() {
        let source = Source {
            path: "lib.rs".to_owned(),
            text: "mod base;".to_owned(),
        };
        assert_one(&judge(&[source], &[]), &["lib.rs:1", "opens without `//!`"]);
    }

    // 600 lines are the bound, tests do not count, and exceptions can only go down.
    #[test]
    fn files_are_short_and_exceptions_shrink() {
        let judge_lines = |lines: usize, long_files: &[(&str, usize)]| {
            let code = "const A: u8 = 0;\n".repeat(lines - 1);
            let test =
                "#[cfg(test)]\nmod tests {\n".to_owned() + &"fn f() {}\n".repeat(500) + "}\n";
            let text = format!("//! A room.\n{code}{test}");
            judge(
                &[Source {
                    path: "lib.rs".to_owned(),
                    text,
                }],
                long_files,
            )
        };
        assert_eq!(judge_lines(600, &[]), Vec::<String>::new());
        assert_one(&judge_lines(601, &[]), &["601 lines", "split it"]);
        assert_eq!(judge_lines(700, &[("lib.rs", 700)]), Vec::<String>::new());
        assert_one(&judge_lines(701, &[("lib.rs", 700)]), &["grew to 701"]);
        assert_one(&judge_lines(699, &[("lib.rs", 700)]), &["lower its entry"]);
        assert_one(
            &judge_lines(600, &[("lib.rs", 700)]),
            &["remove it from LONG_FILES"],
        );
        assert_one(&judge_lines(9, &[("gone.rs", 700)]), &["gone.rs: gone"]);
    }
}
