//! `conformance --cases FILE --target HOST:PORT ...`: one JSON line a case.

use std::io::Write as _;
use std::process::ExitCode;

use uait_conformance::{Options, run};

const USAGE: &str = "conformance --cases FILE --target HOST:PORT [--server HOST:PORT] [--pid N] [--service NAME] \
                     [--tls-cert F --tls-key F --tls-ca F] [--only CASE]";

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => return fail(&format!("{error}\n{USAGE}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let result = runtime.block_on(run(&options, |verdict| {
        // Whoever reads may have seen enough.
        writeln!(std::io::stdout(), "{}", verdict.line()).ok();
    }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(2)
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut tls: [Option<String>; 3] = [None, None, None];
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name}: a value is missing"))?;
        match name.as_str() {
            "--cases" => options.cases = value.into(),
            "--target" => options.target = value,
            "--server" => options.server = Some(value),
            "--pid" => options.pid = Some(value.parse().map_err(|_| format!("--pid {value}: must be a process id"))?),
            "--service" => options.service = Some(value),
            "--tls-cert" => tls[0] = Some(value),
            "--tls-key" => tls[1] = Some(value),
            "--tls-ca" => tls[2] = Some(value),
            "--only" => options.only = Some(value),
            _ => return Err(format!("{name}: unknown")),
        }
    }
    options.tls = match tls {
        [None, None, None] => None,
        [Some(cert), Some(key), Some(ca)] => Some([cert, key, ca].map(Into::into)),
        _ => return Err("--tls-cert, --tls-key and --tls-ca: all three or none".to_owned()),
    };
    if options.cases.as_os_str().is_empty() || options.target.is_empty() {
        return Err("--cases and --target are required".to_owned());
    }
    Ok(options)
}
