//! From the last byte of an overwritten file to the first answer of the new version, under a light load; and what a version that
//! was replaced leaves behind.

use std::time::{Duration, Instant};

use tests::{
    artefacts::artefacts,
    host::{Census, Deployed, Host, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
};

/// How often the file is overwritten.
const SWAPS: usize = 100;
/// After so many the first growth of everything is over.
const WARM: usize = 10;
const TARGET: &str = "/plugins/hello/version";

/// Prints the times, then the costs.
pub fn measure() {
    let mut host = Host::prepare();
    let built = PluginFile::read(artefacts().fixture("hello"));
    built.write(&host.plugins(), "hello.so");
    host.run();
    let load = Load::start(host.process().ready().http, TARGET, 4, Duration::from_millis(5));
    let mut times: Vec<f64> = (1..=WARM).map(|swap| overwrite(&host, &built, swap)).collect();
    let before = census(&host, WARM);
    times.extend((WARM + 1..=SWAPS).map(|swap| overwrite(&host, &built, swap)));
    let after = census(&host, SWAPS);
    println!("{SWAPS} overwrites under a light load ({}):", load.stop());
    report_times(times);
    report_costs(&before, &after);
}

/// Seconds from the last byte of the next build to its first answer.
fn overwrite(host: &Host, built: &PluginFile, swap: usize) -> f64 {
    let version = format!("1.{}.{}", swap / 10 % 10, swap % 10);
    let build = built.with_version(&version).with_text("this is build 1.0.0", &format!("this is build {version}"));
    build.write(&host.plugins(), "hello.so");
    let (written, expected) = (Instant::now(), format!("this is build {version}\n"));
    wait::until(PATIENCE, &expected, || (host.http().get(TARGET).body == expected.as_bytes()).then_some(()));
    written.elapsed().as_secs_f64()
}

/// What the host takes when so many versions have ended.
fn census(host: &Host, ended: usize) -> Census {
    let retired = |plugin: &Deployed| plugin.field("retired").as_u64() == Some(ended as u64);
    host.until_deployed("the version before has ended", |plugin| plugin.text("state") == "active" && retired(plugin));
    Census::of(host.process().id())
}

fn report_times(mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let (median, late, latest) = (at(0.5), at(0.99), at(1.0));
    println!(
        "  from the last byte to the new version's answer: median {median:.2} s, p99 {late:.2} s, longest {latest:.2} s"
    );
}

fn report_costs(before: &Census, after: &Census) {
    let of_one = |before: u64, after: u64| (after as f64 - before as f64) / (SWAPS - WARM) as f64;
    println!(
        "  each leaves {:.1} kB of anonymous memory and {:.1} mappings; threads {} -> {}, descriptors {} -> {}",
        of_one(before.anonymous, after.anonymous) / 1e3,
        of_one(before.mappings, after.mappings),
        before.threads,
        after.threads,
        before.descriptors,
        after.descriptors
    );
}
