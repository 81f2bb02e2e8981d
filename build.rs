//! Tells the program which commit it was built from, where git knows, and how: reports name both.

use std::env;
use std::process::Command;

fn main() {
    // In a worktree they are elsewhere; a path that does not exist would have everything built each time.
    for path in ["HEAD", "refs/heads"].into_iter().filter_map(|name| said("git", &["rev-parse", "--git-path", name])) {
        println!("cargo:rerun-if-changed={path}");
    }
    tell("COMMIT", said("git", &["rev-parse", "--short=12", "HEAD"]));
    tell("RUSTC", env::var("RUSTC").ok().and_then(|rustc| said(&rustc, &["--version"])));
    tell("PROFILE", env::var("PROFILE").ok());
    tell("TARGET", env::var("TARGET").ok());
    tell("OPT_LEVEL", env::var("OPT_LEVEL").ok());
    tell("TARGET_FEATURES", env::var("CARGO_CFG_TARGET_FEATURE").ok());
    // Cargo sets flags apart by a character that is in none of them.
    tell("RUSTFLAGS", env::var("CARGO_ENCODED_RUSTFLAGS").ok().map(|flags| flags.replace('\u{1f}', " ")));
}

/// What a command prints; `None` where it fails.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn tell(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo:rustc-env=RINGLOAD_{name}={value}");
    }
}
