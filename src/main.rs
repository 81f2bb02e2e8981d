//! The binary: one pipeline from the command line to the exit code.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use ringload::cli::session::Session;
use ringload::cli::{self, Command, exit};
use ringload::report::Summary;
use ringload::{engine, plan};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            cli::note(&error.to_string());
            ExitCode::from(exit::COULD_NOT_RUN)
        }
    }
}

fn run() -> Result<u8, Box<dyn Error>> {
    let machine = engine::machine::machine();
    let args = match cli::parse()? {
        Command::Bench(args) if args.prints_plan() => return cli::plan_print::run(*args, &machine),
        Command::Bench(args) => args,
        Command::Fetch(args) => return cli::fetch::run(*args, &machine),
        Command::Target(args) => return cli::target::run(&args, &machine),
        Command::Help(args) => return cli::help::run(&args),
        Command::Completions(args) => return Ok(cli::pages::completions(&args)?),
        Command::Man => return Ok(cli::pages::man()?),
    };
    let mut session = Session::open(*args, &machine)?;
    let plan = Arc::new(plan::validate(&session.take_raw(), &machine).map_err(|error| session.blame(error))?);
    let shards = plan::shards(&plan);
    let mut observe = session.watch(&plan)?;
    let cleared = engine::preflight::check(&plan, &machine, &session.decision)?;
    session.warn(&cleared.findings);
    let record = engine::run(&plan, &shards, &machine, cleared, &session.control, &mut observe)?;
    drop(observe);
    session.close(&Summary::new(&plan, &record))
}
