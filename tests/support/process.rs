//! A program that a test starts: it writes into a log and does not outlive the test.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, kill_process};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
    Quit,
    Kill,
    Stop,
    Continue,
}

impl Signal {
    fn number(self) -> rustix::process::Signal {
        use rustix::process::Signal as S;
        match self {
            Self::Interrupt => S::INT,
            Self::Terminate => S::TERM,
            Self::Quit => S::QUIT,
            Self::Kill => S::KILL,
            Self::Stop => S::STOP,
            Self::Continue => S::CONT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    last_signal: Signal,
    ended: Option<ExitStatus>,
}

/// Whom a program runs as.
pub(crate) enum User {
    Same,
    Other(&'static str),
}

impl Process {
    /// Starts `program`, which gets `last_signal` when its owner goes or the test dies.
    pub fn start(
        name: &'static str,
        program: &Path,
        user: User,
        logs: &Path,
        last_signal: Signal,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let (stdout, stderr) = (logs.join(format!("{name}.stdout")), logs.join(format!("{name}.stderr")));
        let log =
            |path: &Path| File::create(path).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));

        // A test that is killed cannot clean up, so the kernel is told to end what it started. It follows
        // that nothing but `exec` may stand between this command and the program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", last_signal.name()]);
        if let User::Other(user) = user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command.arg("--").arg(program);
        command.stdin(Stdio::null()).stdout(log(&stdout)).stderr(log(&stderr));
        prepare(&mut command);

        let child = spawn(command)
            .unwrap_or_else(|error| panic!("cannot start {name} through setpriv (Debian package util-linux): {error}"));
        Self { name, child, stdout, stderr, last_signal, ended: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    pub fn signal(&mut self, signal: Signal) {
        // Without this check the number could by now belong to somebody else.
        if self.running() {
            let _ = kill_process(Pid::from_child(&self.child), signal.number());
        }
    }

    pub async fn end(&mut self, signal: Signal, within: Duration) -> Option<ExitStatus> {
        self.signal(signal);
        self.exit(within).await
    }

    pub async fn exit(&mut self, within: Duration) -> Option<ExitStatus> {
        crate::within(within, || self.exit_status()).await
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// What it wrote, for the message of a test that fails.
    pub fn output(&self) -> String {
        format!(
            "--- {0} stdout\n{1}\n--- {0} stderr\n{2}",
            self.name,
            last_lines(&self.stdout()),
            last_lines(&self.stderr())
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.output());
        }
        self.signal(Signal::Continue);
        self.signal(self.last_signal);
        let patience = Instant::now() + Duration::from_secs(5);
        while self.running() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::Kill);
        let _ = self.child.wait();
    }
}

/// "Parent death" is the death of the thread that spawned, so one thread that never ends spawns for all.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    SPAWNER.send((command, answer)).expect("the spawning thread never ends");
    child.recv().expect("the spawning thread answers each order")
}

/// A port that was free a moment ago: who uses it must be ready to ask again.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's servers lie in /usr/sbin, which is not in everybody's PATH.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
