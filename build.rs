//! Tells the program which commit it was built from, where git knows: reports name it.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    if let Some(commit) = commit.ok().filter(|output| output.status.success()) {
        println!("cargo:rustc-env=RINGLOAD_COMMIT={}", String::from_utf8_lossy(&commit.stdout).trim());
    }
}
