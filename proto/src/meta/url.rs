//! Addresses in torrents: which of them are kept, and in which form. Nothing here is opened; what
//! cannot be an address of a tracker or a web seed does not come further.

use alloc::string::String;
use core::fmt::Write as _;

/// The longest address that is kept, in bytes, before it is escaped.
const MAX_URL_LEN: usize = 2048;

/// The address of a tracker, trimmed and escaped; `None` if it is not `http`, `https` or `udp`, or
/// names no host.
pub(super) fn tracker(raw: &[u8]) -> Option<String> {
    let url = trimmed(raw)?;
    let (scheme, rest) = url.split_once("://")?;
    let known = ["http", "https", "udp"];
    let known = known.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    (known && has_host(rest)).then(|| escaped(url))
}

/// The address of a web seed, trimmed and escaped; `None` if it is neither `http` nor `https` nor
/// a reference without a scheme, or names no host where it should.
pub(super) fn web_seed(raw: &[u8]) -> Option<String> {
    let url = trimmed(raw)?;
    let good = match url.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let known = ["http", "https"];
            let known = known.iter().any(|name| scheme.eq_ignore_ascii_case(name));
            known && rest.strip_prefix("//").is_some_and(has_host)
        }
        _ => true,
    };
    good.then(|| escaped(url))
}

fn trimmed(raw: &[u8]) -> Option<&str> {
    let url = core::str::from_utf8(raw).ok()?.trim();
    (1..=MAX_URL_LEN).contains(&url.len()).then_some(url)
}

/// Whether an address without its scheme begins with a host and, if any, a port that can be.
fn has_host(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (host, port),
            None => return false,
        },
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port.strip_prefix(':') {
        Some("") => true,
        Some(digits) => digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    !host.is_empty() && port
}

/// Escapes what may not stand in an address (RFC 3986), and leaves escapes that are there.
fn escaped(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").expect("strings take everything");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_tracker_is_kept() {
        for url in [
            "http://a",
            "HTTPS://a.b:443/x?y=z",
            "udp://[::1]:6969",
            "http://u:p@h:1/",
        ] {
            assert_eq!(tracker(url.as_bytes()).as_deref(), Some(url));
        }
        for url in [
            "",
            "http",
            "http://",
            "http:///announce",
            "http://[::1",
            "http://h:99999/",
            "http://h:0/",
            "http://[::1]x/",
            "file:///etc/passwd",
            "javascript:x",
            "ws://h/",
        ] {
            assert_eq!(tracker(url.as_bytes()), None, "{url}");
        }
        assert_eq!(tracker(&[b'a'; MAX_URL_LEN + 1]), None);
        assert_eq!(tracker(b"http://\xff/"), None);
    }

    #[test]
    fn addresses_are_trimmed_and_escaped() {
        let url = tracker(b"\t udp://test.com/announce\n").unwrap();
        assert_eq!(url, "udp://test.com/announce");
        let url = web_seed("http://h/a b/%20/ü\u{1b}".as_bytes()).unwrap();
        assert_eq!(url, "http://h/a%20b/%20/%C3%BC%1B");
    }

    #[test]
    fn a_web_seed_may_lack_a_scheme_but_not_have_a_strange_one() {
        assert_eq!(web_seed(b"/8/items/").as_deref(), Some("/8/items/"));
        assert_eq!(web_seed(b"/a:b").as_deref(), Some("/a:b"));
        for url in [
            &b"file:///x"[..],
            b"ftp://h/",
            b"javascript:x",
            b"http:/x",
            b" ",
        ] {
            assert_eq!(web_seed(url), None);
        }
    }
}
