//! Does one operation of `hot_path` so many times and nothing else, for `scripts/count-instructions`: of two runs of
//! different length, the difference is what the further operations cost.
//!
//! `NAME COUNT` does one, `--list` names all with how many times each does its work; without arguments, each is done once.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common {
    #[allow(dead_code, reason = "shared by several benches")]
    pub(crate) mod subjects;
}

use common::subjects::{self, Visitor};

enum Repeat {
    List,
    All,
    One { name: String, count: u64 },
}

impl Visitor for Repeat {
    fn subject(&mut self, name: &str, parts: u64, mut operation: impl FnMut()) {
        match self {
            Self::List => println!("{name} {parts}"),
            Self::All => operation(),
            Self::One { name: wanted, count } if wanted == name => (0..*count).for_each(|_| operation()),
            Self::One { .. } => {}
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut repeat = match &*arguments {
        [] => Repeat::All,
        [list] if list == "--list" => Repeat::List,
        [name, count] => Repeat::One { name: name.clone(), count: count.parse().expect("COUNT is a number") },
        _ => panic!("NAME COUNT, --list or nothing"),
    };
    subjects::visit(&mut repeat);
}
