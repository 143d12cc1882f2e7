//! Local: one run, nothing else.
use ripcurrent_sim::network::Backend;
use ripcurrent_sim::run::run;
use ripcurrent_sim::scenario::Scenario;
fn main() {
    let mut args = std::env::args().skip(1);
    let text = std::fs::read_to_string(args.next().unwrap()).unwrap();
    let backend: Backend = args.next().unwrap().parse().unwrap();
    let seed = args.next().map_or(1, |s| s.parse().unwrap());
    let scenario = Scenario::parse(&text).unwrap();
    let report = run(&scenario, seed, backend).unwrap();
    let secs = report
        .ended
        .since(ripcurrent_proto::base::time::Instant::ZERO)
        .as_secs_f64();
    println!("{}", report.to_string().lines().last().unwrap());
    println!("digest {}", report.digest);
    let peer_seconds = secs * report.hosts.len() as f64;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap();
    let cpu = ticks / 100.0;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let hwm = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    println!(
        "cpu {cpu:.2} s, {:.1} us per peer-second, {hwm}",
        cpu * 1e6 / peer_seconds
    );
}
