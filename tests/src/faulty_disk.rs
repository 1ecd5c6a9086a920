//! A disk that does not take what is written to it, or takes its time: strace(1) answers the host's calls in its place.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::{
    host::{Host, PATIENCE},
    wait,
};

/// The calls that put what was written on the disk.
const SYNC: &str = "fsync,fdatasync";

/// A fault of the disk for as long as this lives.
pub struct FaultyDisk(Child);

impl FaultyDisk {
    /// Has the calls of a running host that put things on the disk answered as `fault` says (strace(1), `inject`). Says why
    /// if this machine can't.
    #[track_caller]
    pub fn under(host: &Host, fault: &str) -> Result<FaultyDisk, String> {
        let process = host.process().id().to_string();
        let inject = format!("inject={SYNC}:{fault}");
        let trace = format!("trace={SYNC}");
        let tracer = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &process])
            .stderr(Stdio::null())
            .spawn();
        let mut disk = FaultyDisk(tracer.map_err(|cause| format!("strace: {cause}"))?);
        let ended = wait::until(PATIENCE, "the host is traced", || match disk.0.try_wait() {
            Ok(None) => is_traced(&process).then_some(None),
            ended => Some(Some(ended)),
        });
        match ended {
            None => Ok(disk),
            Some(ended) => Err(format!("strace can't trace: {ended:?}")),
        }
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        // It lets the host go on by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    /// Has every run from now on synchronise to a disk that takes this long, in milliseconds. Says why if this machine can't.
    pub fn on_a_slow_disk(&mut self, milliseconds: u32) -> Result<(), String> {
        let inject = format!("inject={SYNC}:delay_exit={}", milliseconds * 1_000);
        let trace = format!("trace={SYNC}");
        // Only these calls are looked at, and the host is our child, not strace's.
        let through = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", &trace, "-e", &inject];
        let tried = Command::new(through[0]).args(&through[1..]).arg("true").output();
        match tried {
            Ok(output) if output.status.success() => {}
            other => return Err(format!("strace can't trace: {other:?}")),
        }
        self.through(&through);
        Ok(())
    }
}

/// Whether each thread of a process is traced.
fn is_traced(process: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status"));
        // One that has ended meanwhile does no harm.
        status.map_or(true, |status| !status.contains("TracerPid:\t0\n"))
    })
}
