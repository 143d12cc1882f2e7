//! URLs of trackers, split strictly (RFC 3986): what is not plain is refused, so that nothing in a
//! URL can end a line of a request or name another host than it shows.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

/// The longest URL taken, in bytes.
pub const URL_MAX: usize = 2_048;

/// The longest host name (RFC 1035), in bytes.
const NAME_MAX: usize = 253;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// An `http` or `https` URL that was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    protected: bool,
    host: Host,
    port: u16,
    authority: String,
    target: String,
}

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name to be looked up.
    Name(String),
    /// A literal address.
    Address(IpAddr),
}

/// The fault of whoever wrote the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Longer than [`URL_MAX`].
    #[error("a URL of more than {URL_MAX} bytes")]
    TooLong,
    /// Without `://`.
    #[error("a URL without a scheme")]
    NoScheme,
    /// A kind of tracker that is known but not spoken to yet.
    #[error("{scheme} trackers are not supported yet")]
    NotYet {
        /// `udp`.
        scheme: &'static str,
    },
    /// Anything else before `://`.
    #[error("a URL of an unknown scheme")]
    UnknownScheme,
    /// A user name or password.
    #[error("a URL with a user name")]
    UserName,
    /// No host name, or no name that a host can have.
    #[error("a URL without a right host name")]
    Host,
    /// A port that is no number from 1 to 65535.
    #[error("a URL with a bad port")]
    Port,
    /// A space, a control character or something beyond ASCII.
    #[error("a URL with a byte that must be percent-encoded")]
    Byte,
}

impl Url {
    /// Reads a URL; blanks around it are ignored, and so is a fragment.
    ///
    /// # Errors
    /// If it is not an `http` or `https` URL of the strict kind.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim_ascii();
        if text.len() > URL_MAX {
            return Err(BadUrl::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadUrl::Byte);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::NoScheme)?;
        let protected = is_https(scheme)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        let default = if protected { HTTPS_PORT } else { HTTP_PORT };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            protected,
            host,
            port: port.unwrap_or(default),
            authority: authority.into(),
            target: [slash, target].concat(),
        })
    }

    /// Reads a `Location` that this URL answered with: a whole URL, or one without scheme or host.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub fn join(&self, location: &str) -> Result<Self, BadUrl> {
        let location = location.trim_ascii();
        let path = self.target.split('?').next().unwrap_or("/");
        let folder = &path[..=path.rfind('/').unwrap_or(0)];
        let has_scheme = location
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|start| start.contains(':'));
        let (scheme, start) = match self.protected {
            true => ("https", "https://"),
            false => ("http", "http://"),
        };
        let whole: [&str; 4] = match location {
            _ if has_scheme => [location, "", "", ""],
            _ if location.starts_with("//") => [scheme, ":", location, ""],
            _ if location.starts_with('/') => [start, &self.authority, "", location],
            _ if location.starts_with('?') => [start, &self.authority, path, location],
            _ => [start, &self.authority, folder, location],
        };
        Url::parse(&whole.concat())
    }

    /// Where it leads.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether what is said there is protected by TLS (`https`).
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// What a certificate must be valid for, where one is asked for: the host, without brackets.
    #[must_use]
    pub fn tls_name(&self) -> Option<Arc<str>> {
        self.protected.then(|| match &self.host {
            Host::Name(name) => name.as_str().into(),
            Host::Address(address) => address.to_string().into(),
        })
    }

    /// The port; never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they were written, for the `Host` field.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and query; begins with a slash.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Whether the scheme is `https`; it may be `http` as well, and nothing else.
fn is_https(scheme: &str) -> Result<bool, BadUrl> {
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    match scheme {
        _ if is("http") => Ok(false),
        _ if is("https") => Ok(true),
        _ if is("udp") => Err(BadUrl::NotYet { scheme: "udp" }),
        _ => Err(BadUrl::UnknownScheme),
    }
}

/// The host, and the port where there is one.
fn split_authority(authority: &str) -> Result<(Host, Option<u16>), BadUrl> {
    if authority.contains('@') {
        return Err(BadUrl::UserName);
    }
    let (host, port) = split_port(authority);
    let host = parse_host(&authority[host])?;
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| BadUrl::Port)?)
        }
        Some(_) => return Err(BadUrl::Port),
    };
    if port == Some(0) {
        return Err(BadUrl::Port);
    }
    Ok((host, port))
}

/// Where the host lies, and the port behind it.
fn split_port(authority: &str) -> (Range<usize>, Option<&str>) {
    // Colons within brackets belong to an IPv6 address.
    let after = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[after..].find(':') {
        Some(colon) => (0..after + colon, Some(&authority[after + colon + 1..])),
        None => (0..authority.len(), None),
    }
}

fn parse_host(host: &str) -> Result<Host, BadUrl> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(BadUrl::Host)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| BadUrl::Host)?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let right = !host.is_empty() && host.len() <= NAME_MAX && host.bytes().all(of_a_name);
    right.then(|| Host::Name(host.into())).ok_or(BadUrl::Host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Host, port, authority and target of a URL.
    fn split(text: &str) -> (String, u16, String, String) {
        let url = Url::parse(text).unwrap();
        let host = match url.host {
            Host::Name(name) => name,
            Host::Address(address) => address.to_string(),
        };
        (host, url.port, url.authority, url.target)
    }

    fn parts(
        host: &str,
        port: u16,
        authority: &str,
        target: &str,
    ) -> (String, u16, String, String) {
        (host.into(), port, authority.into(), target.into())
    }

    #[test]
    fn right_urls_fall_into_their_parts() {
        let name = split("http://tracker.example/announce");
        let plain = parts("tracker.example", 80, "tracker.example", "/announce");
        assert_eq!(name, plain);
        let query = split(" HTTP://127.0.0.1:6969/a/announce?pass=1/2#part\n");
        let expected = parts("127.0.0.1", 6969, "127.0.0.1:6969", "/a/announce?pass=1/2");
        assert_eq!(query, expected);
        assert_eq!(split("http://[::1]:80"), parts("::1", 80, "[::1]:80", "/"));
        assert_eq!(split("http://[::1]/x"), parts("::1", 80, "[::1]", "/x"));
        assert_eq!(
            split("http://a_b-c:?x"),
            parts("a_b-c", 80, "a_b-c:", "/?x")
        );
        assert_eq!(split("https://[::1]/x"), parts("::1", 443, "[::1]", "/x"));
        assert_eq!(split("HTTPS://a:80"), parts("a", 80, "a:80", "/"));
        assert!(matches!(
            Url::parse("http://[::1]/").unwrap().host(),
            Host::Address(_)
        ));
    }

    #[test]
    fn wrong_urls_say_what_is_wrong() {
        let refused = |text: &str| Url::parse(text).unwrap_err();
        let later = BadUrl::NotYet { scheme: "udp" };
        assert_eq!(refused("UDP://a:1/announce"), later);
        assert_eq!(refused("wss://a/"), BadUrl::UnknownScheme);
        assert_eq!(refused("a/announce"), BadUrl::NoScheme);
        assert_eq!(refused(""), BadUrl::NoScheme);
        assert_eq!(refused("http://u:p@a/"), BadUrl::UserName);
        for host in [
            "",
            ":80",
            "[::1",
            "[::1]x:80",
            "[1.2.3.4]",
            "a%41",
            "a,b",
            "[]",
        ] {
            let url = ["http://", host, "/"].concat();
            assert_eq!(refused(&url), BadUrl::Host, "{url}");
        }
        for port in ["0", "65536", "-1", "+1", "1x", "1:2", "99999999999"] {
            let url = ["http://a:", port, "/"].concat();
            assert_eq!(refused(&url), BadUrl::Port, "{url}");
        }
        assert_eq!(refused("http://a/b c"), BadUrl::Byte);
        assert_eq!(refused("http://a/\r\nEvil: x"), BadUrl::Byte);
        assert_eq!(refused("http://a/ä"), BadUrl::Byte);
        assert_eq!(refused(&"http://a/".repeat(300)), BadUrl::TooLong);
    }

    #[test]
    fn redirects_lead_from_where_they_were_read() {
        let from = Url::parse("http://a:81/x/announce?y=/z").unwrap();
        let join = |location: &str| from.join(location).map(|url| (url.authority, url.target));
        let to = |authority: &str, target: &str| Ok((authority.into(), target.into()));
        assert_eq!(join("http://b/c?d=http://e"), to("b", "/c?d=http://e"));
        assert_eq!(join("//b/c"), to("b", "/c"));
        assert_eq!(join("/c?d"), to("a:81", "/c?d"));
        assert_eq!(join("c?d"), to("a:81", "/x/c?d"));
        assert_eq!(join("?d"), to("a:81", "/x/announce?d"));
        assert_eq!(join("c?d=b://e"), to("a:81", "/x/c?d=b://e"));
        assert_eq!(join("https://b/"), to("b", "/"));
        assert_eq!(join("udp://b/"), Err(BadUrl::NotYet { scheme: "udp" }));
        assert_eq!(join("javascript:x"), Err(BadUrl::NoScheme));
    }

    /// A certificate must be valid for the host alone, and a redirect that names no scheme keeps it.
    #[test]
    fn protection_lasts_unless_a_scheme_is_named() {
        let url = |text: &str| Url::parse(text).unwrap();
        let name = |url: &Url| url.tls_name().map(|name| name.to_string());
        assert_eq!(name(&url("http://a/")), None);
        assert_eq!(name(&url("https://a.b:1/")), Some("a.b".into()));
        assert_eq!(name(&url("https://[::1]:1/")), Some("::1".into()));
        assert_eq!(name(&url("https://127.0.0.1/")), Some("127.0.0.1".into()));
        let from = url("https://a/x/announce");
        for location in ["//b/c", "/c", "c", "?d"] {
            assert!(from.join(location).unwrap().is_protected(), "{location}");
        }
        assert!(!from.join("http://a/").unwrap().is_protected());
    }
}
