//! Few open files: fewer connections instead of errors.

use ripcurrent_proto::api::Config;
use ripcurrent_runtime_uring::Descriptors;

use crate::exit::{Exit, Failure};
use crate::units::Count;

/// Takes as many open files as the system allows without asking anybody.
pub(crate) fn raise() {
    if let Err(error) = Descriptors::raise_limit() {
        tracing::info!(%error, "the limit on open files stays as it is");
    }
}

/// A quarter of few connections is kept for handshakes, so that newcomers are heard.
const SHARE_OF_HANDSHAKES: usize = 4;

/// Bounds the connections of `config` by what may be open.
pub(crate) fn fit(config: Config, open: Descriptors) -> Config {
    if config.max_connections <= open.connections {
        return config;
    }
    let peers = open.connections - open.connections / SHARE_OF_HANDSHAKES;
    Config {
        max_connections: open.connections,
        max_peers: config.max_peers.min(peers),
        ..config
    }
}

/// What few open files mean for a transfer whose settings fit into them, if anything.
pub(crate) fn scarcity(config: &Config, open: Descriptors) -> Option<String> {
    let Descriptors {
        limit,
        connections,
        files,
    } = open;
    let peers = config.max_peers;
    (config.max_connections >= connections).then(|| {
        format!(
            "{limit} files may be open: at most {connections} connections, {peers} peers among \
             them, and {files} files of data; raise `ulimit -Hn` for more"
        )
    })
}

/// What one seed of a demonstration has open: its host, its file, and both ends of its connections.
const SEED: u64 = 13;
/// What the rest of a demonstration has open: the download, the tracker and the streams.
const DEMO: u64 = 24;

/// Checks that as many seeds can run in this process.
pub(crate) fn must_fit_seeds(seeds: u8, open: Descriptors) -> Result<(), Failure> {
    let limit = open.limit;
    let need = DEMO + SEED * u64::from(seeds);
    if need <= limit {
        return Ok(());
    }
    let asked = Count(u64::from(seeds), "seed");
    let what = format!("only {limit} files may be open, and {asked} would need {need}");
    let fitting = limit.saturating_sub(DEMO) / SEED;
    Err(Failure::new(Exit::Forbidden, what).remedy(format!(
        "Raise `ulimit -Hn`, or ask for fewer with --peers: {fitting} would fit."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what does not fit is made smaller, and some connections are left for handshakes.
    #[test]
    fn what_does_not_fit_is_made_smaller() {
        let asked = Config {
            max_peers: 50,
            max_connections: 82,
            ..Config::default()
        };
        let open = Descriptors::within(64);
        let config = fit(asked.clone(), open);
        assert_eq!((config.max_peers, config.max_connections), (14, 18));
        let line = scarcity(&config, open).unwrap();
        assert!(
            line.starts_with(
                "64 files may be open: at most 18 connections, 14 peers among them, and 6 files"
            ),
            "{line}"
        );
        let open = Descriptors::within(1024);
        let config = fit(asked, open);
        assert_eq!((config.max_peers, config.max_connections), (50, 82));
        assert_eq!(scarcity(&config, open), None);
    }

    /// A demonstration that cannot work is refused before anything is made.
    #[test]
    fn too_many_seeds_are_refused() {
        let open = Descriptors::within(64);
        assert!(must_fit_seeds(3, open).is_ok());
        let failure = must_fit_seeds(4, open).unwrap_err();
        assert_eq!(failure.exit(), Exit::Forbidden);
        assert!(failure.to_string().contains("3 would fit"), "{failure}");
        assert!(must_fit_seeds(u8::MAX, Descriptors::within(u64::MAX)).is_ok());
    }
}
