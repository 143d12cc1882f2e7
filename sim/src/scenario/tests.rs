use super::*;

const GOOD: &str = r#"
    [torrent]
    files = ["3 MiB", 0, "5 B"]
    piece_length = "64 KiB"
    [[tracker]]
    interval_s = 60
    [end]
    within_s = 600
    [[group]]
    name = "seed"
    role = "seed"
    count = 1
    up = "512 KiB/s"
    down = "2.5 MiB/s"
    latency_ms = [10, 20]
    [[group]]
    name = "leecher"
    role = "leecher"
    count = 3
    up = 1000000
    down = "10 MiB/s"
    latency_ms = [5, 5]
"#;

/// Everything that can be said, once.
const RICH: &str = r#"
    [torrent]
    files = ["3 MiB"]
    piece_length = "64 KiB"
    private = true
    content = "compact"
    [[tracker]]
    interval_s = 30
    behaviour = { lies = "nobody" }
    [[tracker]]
    https = true
    [end]
    within_s = 600
    complete = ["late"]
    longest_over_bound = 1.1
    mean_over_bound = 1.05
    free_riders_over_mean = 1.5
    copies = 1
    [[group]]
    name = "seed"
    role = "seed"
    count = 2
    up = "512 KiB/s"
    down = "2.5 MiB/s"
    latency_ms = [10, 20]
    on_finish = { seed_ratio = 1.0 }
    [[group]]
    name = "late"
    role = "leecher"
    count = 10
    up = "1 MiB/s"
    down = "10 MiB/s"
    latency_ms = [0, 5]
    arrival = { spread_s = [0, 60] }
    on_finish = { seed_s = 60 }
    has = 0.25
    [group.client]
    memory_budget = "3 MiB"
    max_peers = 50
    upload_slots = 8
    up_limit = "100 KiB/s"
    down_limit = "100 KiB/s"
    [[group]]
    name = "rider"
    role = "free-rider"
    count = 2
    up = "1 MiB/s"
    down = "10 MiB/s"
    latency_ms = [0, 5]
    arrival = { gap_ms = 500 }
    on_finish = "leave"
    [[group]]
    name = "liar"
    role = "adversary"
    adversary = "bitfield-liar"
    count = 2
    up = "1 MiB/s"
    down = "10 MiB/s"
    latency_ms = [0, 5]
    [[fault]]
    at_s = 1
    for_s = 10
    kind = "partition"
    group = "late"
    share = 0.5
    [[fault]]
    at_s = 1
    kind = "reset"
    group = "late"
    count = 3
    [[fault]]
    at_s = 2
    for_s = 5
    kind = { storm-ms = [10, 500] }
    [[fault]]
    at_s = 3
    for_s = 5
    kind = { rates = { up = "8 KiB/s", down = "64 KiB/s" } }
    [[fault]]
    at_s = 4
    for_s = 9
    kind = { tracker = { number = 2, behaviour = "garbage" } }
    [[fault]]
    at_s = 5
    for_s = 9
    kind = { disk-errors = { on = ["write", "sync"], share = 0.1 } }
    [[fault]]
    at_s = 5
    for_s = 9
    kind = { disk-capacity = "1 MiB" }
    [[fault]]
    at_s = 6
    kind = { tracker-down = 2 }
    [[fault]]
    at_s = 6
    for_s = 9
    kind = { crash-at-operation = 20 }
"#;

#[test]
fn a_scenario_is_read() {
    let scenario = Scenario::parse(GOOD).unwrap();
    assert_eq!((scenario.hosts(), scenario.size()), (4, (3 << 20) + 5));
    let leechers = &scenario.groups[1];
    assert_eq!(leechers.role, Role::Leecher);
    assert_eq!(leechers.up, Rate(1_000_000));
    assert_eq!(leechers.arrival, Arrival::AtOnce);
    assert!(scenario.must_complete(leechers) && !scenario.is_compact());
}

/// Whatever can be said is read, and what is written of it is read as the same.
#[test]
fn what_is_written_is_a_scenario_again() {
    for text in [GOOD, RICH] {
        let scenario = Scenario::parse(text).unwrap();
        let written = scenario.to_string();
        assert_eq!(Scenario::parse(&written).unwrap(), scenario, "{written}");
    }
}

/// Without a tracker's table there is one tracker that behaves.
#[test]
fn one_tracker_is_there_unasked() {
    let text = GOOD.replace("[[tracker]]\n    interval_s = 60", "");
    assert_eq!(
        Scenario::parse(&text).unwrap(),
        Scenario::parse(GOOD).unwrap()
    );
}

/// Large swarms keep tags in the place of bytes, unless people ask for bytes.
#[test]
fn large_swarms_are_compact() {
    let large = GOOD.replace("\"3 MiB\"", "\"200 MiB\"");
    assert!(Scenario::parse(&large).unwrap().is_compact());
    let bytes = large.replace("[[tracker]]", "content = \"bytes\"\n[[tracker]]");
    assert!(!Scenario::parse(&bytes).unwrap().is_compact());
}

/// What TOML itself refuses is found by its line.
#[test]
fn the_line_is_told() {
    let text = GOOD.replace("[[tracker]]", "[[tracker");
    let error = Scenario::parse(&text).unwrap_err().to_string();
    assert!(error.starts_with("line 5, `[[tracker`: "), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

/// Whatever is wrong, the message names the key.
#[test]
fn mistakes_are_named() {
    assert_refused(
        GOOD,
        &[
            ("interval_s", "intervall_s", "intervall_s"),
            (
                "interval_s = 60",
                "interval_s = 0",
                "interval_s of tracker 1",
            ),
            ("count = 3", "count = 3\ncolour = 1", "colour"),
            ("within_s = 600", "", "within_s"),
            ("within_s = 600", "within_s = 0", "end.within_s"),
            ("\"64 KiB\"", "\"8 KiB\"", "torrent.piece_length"),
            ("\"64 KiB\"", "\"65 KiB\"", "power of two"),
            ("\"3 MiB\", 0, \"5 B\"", "", "torrent.files"),
            ("\"3 MiB\"", "\"9 GiB\"", "torrent.files"),
            (
                "\"3 MiB\", 0, \"5 B\"]",
                "\"4 GiB\"]\ncontent = \"bytes\"",
                "torrent.files on every host",
            ),
            ("count = 3", "count = 0", "count of group \"leecher\""),
            ("count = 3", "count = 5000", "the number of hosts"),
            ("1000000", "1000", "up of group \"leecher\""),
            ("[10, 20]", "[20, 10]", "latency_ms of group \"seed\""),
            ("[10, 20]", "[10]", "latency_ms"),
            ("\"leecher\"\n    role", "\"seed\"\n    role", "two groups"),
            ("role = \"leecher\"", "role = \"seed\"", "no leecher"),
            ("role = \"seed\"", "role = \"leecher\"", "no seed"),
            ("role = \"leecher\"", "role = \"leech\"", "leech"),
            (
                "role = \"seed\"",
                "role = \"seed\"\nhas = 0.5",
                "has of group \"seed\"",
            ),
            (
                "role = \"seed\"",
                "role = \"seed\"\non_finish = \"leave\"",
                "on_finish",
            ),
        ],
    );
}

/// So it is with what few scenarios say.
#[test]
fn rare_mistakes_are_named() {
    assert_refused(
        RICH,
        &[
            ("{ lies = \"nobody\" }", "\"happy\"", "happy"),
            ("[0, 60]", "[60, 0]", "arrival.spread_s of group \"late\""),
            (
                "gap_ms = 500",
                "gap_ms = 0",
                "arrival.gap_ms of group \"rider\"",
            ),
            (
                "seed_s = 60",
                "seed_s = 0",
                "on_finish.seed_s of group \"late\"",
            ),
            (
                "has = 0.25",
                "has = 1.0",
                "has in thousandths of group \"late\"",
            ),
            (
                "\"3 MiB\"\n    max_peers",
                "\"1 KiB\"\n    max_peers",
                "client.memory_budget",
            ),
            (
                "max_peers = 50",
                "max_peers = 0",
                "client.max_peers of group \"late\"",
            ),
            ("[\"late\"]", "[\"early\"]", "end.complete names \"early\""),
            ("[\"late\"]", "[\"seed\"]", "end.complete of group \"seed\""),
            ("[\"late\"]", "[]", "no leecher"),
            (
                "role = \"free-rider\"",
                "role = \"leecher\"",
                "end.free_riders_over_mean",
            ),
            (
                "adversary = \"bitfield-liar\"",
                "",
                "adversary of group \"liar\"",
            ),
            (
                "role = \"adversary\"",
                "role = \"leecher\"",
                "adversary of group \"liar\"",
            ),
            ("bitfield-liar", "optimist", "optimist"),
            ("group = \"late\"", "group = \"early\"", "group of fault 1"),
            (
                "share = 0.5",
                "share = 1.5",
                "share in thousandths of fault 1",
            ),
            (
                "kind = \"partition\"",
                "kind = \"reset\"",
                "for_s of fault 1",
            ),
            ("kind = \"partition\"", "kind = \"rain\"", "rain"),
            ("count = 3", "count = 11", "count of fault 2"),
            ("count = 3", "count = 3\nshare = 0.5", "share of fault 2"),
            ("[10, 500]", "[500, 10]", "kind.storm-ms of fault 3"),
            ("\"8 KiB/s\"", "0", "kind.rates.up of fault 4"),
            ("number = 2", "number = 3", "kind.tracker.number of fault 5"),
            ("at_s = 4", "at_s = 4\ncount = 1", "count of fault 5"),
            (
                "[\"write\", \"sync\"]",
                "[]",
                "kind.disk-errors.on of fault 6",
            ),
            (
                "operation = 20",
                "operation = 0",
                "crash-at-operation of fault 9",
            ),
        ],
    );
}

/// Each replacement makes a mistake of which the message speaks.
fn assert_refused(good: &str, mistakes: &[(&str, &str, &str)]) {
    for (from, to, names) in mistakes {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} is not there");
        let error = Scenario::parse(&text).expect_err(to).to_string();
        assert!(error.contains(names), "{to}: {error}");
    }
}
