//! A real PostgreSQL with pgvector on loopback, for as long as a guard lives.
//!
//! Its binaries come from [`super::packages::postgres`]. PostgreSQL refuses to run as root: there, it runs as
//! another user, on a copy of its binaries that this user can read.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use postgres::{Client, NoTls};
use tempfile::TempDir;

use super::copy::copy_all;
use super::packages;

/// Password of the server's user; it must never be shown.
pub const PASSWORD: &str = "pg-password-that-must-stay-secret";

/// `nobody`, whatever it is called.
const OTHER_USER: u32 = 65534;

/// Ports that are tried: another process may take one between its choice and its use.
const PORTS: usize = 5;

/// A running server; it is stopped when dropped.
pub struct Server {
    folder: TempDir,
    port: u16,
    databases: AtomicUsize,
}

impl Server {
    /// A server of this test's own; `None` where the package cannot be fetched.
    pub fn start() -> Option<Self> {
        let install = packages::postgres()?;
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        open_to_all(folder.path());
        let server = Self { port: 0, databases: AtomicUsize::new(0), folder };
        server.copy(install);
        server.make_cluster();
        Some(server.listening())
    }

    /// One server for all tests that run at the same time.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// The address of a new database, over TCP, with the password in it.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client = client(&self.url("postgres"));
        client.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database can be made");
        self.url(&name)
    }

    /// The address of a database, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://tester:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same by the socket's folder.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.path("socket");
        format!(
            "host={} port={} user=tester password={PASSWORD} dbname={database}",
            folder.display(),
            self.port
        )
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.pg_ctl(&["stop", "-m", "immediate", "-w"]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.path("pgserver/pginstall/bin").join(name)
    }

    /// Libraries are found by their place relative to the binaries. Unpacking left no binary executable.
    fn copy(&self, install: &Path) {
        let package = install.parent().and_then(Path::parent).expect("the install lies in its package");
        let into = self.path("pgserver/pginstall");
        fs::create_dir_all(into.join("bin")).expect("the temporary folder is writable");
        copy_all(&package.join("pgserver.libs"), &self.path("pgserver.libs"));
        copy_all(&install.join("lib"), &into.join("lib"));
        copy_all(&install.join("share"), &into.join("share"));
        for name in ["postgres", "initdb", "pg_ctl"] {
            let copy = into.join("bin").join(name);
            fs::copy(install.join("bin").join(name), &copy).expect("the package has it");
            open_to_all(&copy);
        }
    }

    fn make_cluster(&self) {
        for folder in ["data", "socket"] {
            fs::create_dir(self.path(folder)).expect("the temporary folder is writable");
            give_away(&self.path(folder));
        }
        fs::write(self.path("password"), PASSWORD).expect("the temporary folder is writable");
        let password = format!("--pwfile={}", self.path("password").display());
        let arguments =
            ["-U", "tester", "--auth=scram-sha-256", &password, "-N", "-E", "UTF8", "--no-locale", "-D"];
        let output = self.as_other_user("initdb").args(arguments).arg(self.path("data")).output();
        let output = output.expect("initdb starts");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn listening(mut self) -> Self {
        for _ in 0..PORTS {
            self.port = free_port();
            let options = format!(
                "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={} -c fsync=off \
                 -c shared_buffers=32MB",
                self.port,
                self.path("socket").display()
            );
            // pg_ctl comes back when the server lets somebody in, or has ended.
            if self.pg_ctl(&["start", "-w", "-t", "60", "-o", &options]) {
                return self;
            }
        }
        let log = fs::read_to_string(self.path("data/log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    fn pg_ctl(&self, arguments: &[&str]) -> bool {
        let mut command = self.as_other_user("pg_ctl");
        command.args(arguments).arg("-D").arg(self.path("data")).arg("-l").arg(self.path("data/log"));
        // The server would keep a pipe open, and the wait for its end would not end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn as_other_user(&self, program: &str) -> Command {
        let program = self.bin(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={OTHER_USER}"), &format!("--regid={OTHER_USER}"), "--clear-groups"]);
        command.arg(program).current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A connection for what a test does beside the store.
pub fn client(url: &str) -> Client {
    Client::connect(url, NoTls).expect("the server lets us in")
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn is_root() -> bool {
    // A process owns its own entry.
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn give_away(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("it is ours");
    if is_root() {
        chown(path, Some(OTHER_USER), Some(OTHER_USER)).expect("root may give away");
    }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
