//! A child process whose output is kept.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A process that ends, at the latest, when this is dropped.
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The lines of its stdout.
    pub stdout: Vec<String>,
    /// The lines of its stderr.
    pub stderr: Vec<String>,
}

impl Process {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Output::of(child.stdout.take().expect("it is piped"));
        let stderr = Output::of(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stdout that `find` makes something of.
    pub fn wait_for_line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                let errors = self.stderr.lines.lock().expect("no panic").join("\n");
                panic!("{what}: the process ended with {status}: {errors}");
            }
            self.stdout.lines.lock().expect("no panic").iter().find_map(|line| find(line))
        })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is ours");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let status = eventually("the process ends", || self.child.try_wait().expect("it is ours"));
        Finished { code: status.code(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails where the process has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.lock().expect("no panic").push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn all(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        std::mem::take(&mut self.lines.lock().expect("no panic"))
    }
}
