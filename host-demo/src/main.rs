//! The command `host-demo`. All there is to it is in the library, where the fuzz targets reach it too.

fn main() -> std::process::ExitCode {
    host_demo::run()
}
