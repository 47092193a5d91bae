//! Running one of the system's own tools: fixed path, empty environment, no shell, a time limit.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Most that is kept of what a tool says, each stream, in bytes.
const SAID: u64 = 64 * 1024;
const STEP: Duration = Duration::from_millis(2);
/// How long a stream may stay open after the tool itself has ended.
const LINGER: Duration = Duration::from_millis(200);

/// Where the system keeps its tools; nothing else is ever looked at.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{tool} is not there")]
    Missing { tool: String },
    #[error("{tool}: {source}")]
    Start { tool: String, source: std::io::Error },
    #[error("{tool} did not end within {} s", limit.as_secs())]
    Timeout { tool: String, limit: Duration },
    #[error("{tool} ended with {status}: {said}")]
    Failed { tool: String, status: String, said: String },
}

/// The path of a tool, if it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Runs it to its end and yields what it wrote to standard output.
///
/// # Errors
/// It is not there, does not end in time (then its process group is ended), or ends with anything but 0.
pub fn run(tool: &Path, arguments: &[&str], limit: Duration) -> Result<String, ToolError> {
    ask(tool, arguments, limit, SAID)
}

/// As [`run`], of a tool that may say more: so many bytes are kept.
///
/// # Errors
/// As [`run`].
pub fn ask(tool: &Path, arguments: &[&str], limit: Duration, most: u64) -> Result<String, ToolError> {
    let name = || {
        std::iter::once(shown(tool))
            .chain(arguments.iter().map(|a| (*a).to_owned()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    if !tool.is_file() {
        return Err(ToolError::Missing { tool: shown(tool) });
    }
    let spawned = Command::new(tool)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = spawned.map_err(|source| ToolError::Start { tool: name(), source })?;
    let (out, err) = (listen(child.stdout.take(), most), listen(child.stderr.take(), SAID));
    let Some(status) = wait(&mut child, limit).map_err(|source| ToolError::Start { tool: name(), source })?
    else {
        return Err(ToolError::Timeout { tool: name(), limit });
    };
    let (out, err) = (heard(&out), heard(&err));
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { out } else { err };
    Err(ToolError::Failed {
        tool: name(),
        status: status.to_string(),
        said: said.trim().chars().take(500).collect(),
    })
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            // The group may be gone already; the child itself is reaped below.
            let _ = killpg(group, Signal::SIGKILL);
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(STEP);
    }
}

/// Reads a stream on a thread of its own: a tool that fills one pipe must not wait for us.
fn listen(stream: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.by_ref().take(most).read_to_end(&mut bytes);
            let _ = send.send(bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
    }
    receive
}

fn heard(from: &mpsc::Receiver<Vec<u8>>) -> String {
    String::from_utf8_lossy(&from.recv_timeout(LINGER).unwrap_or_default()).into_owned()
}

fn shown(tool: &Path) -> String {
    tool.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, ToolError> {
        run(Path::new("/bin/sh"), &["-c", script], limit)
    }

    #[test]
    fn a_tool_gets_an_empty_environment_and_its_words_come_back() {
        let all = sh("env | sort | cut -d= -f1 | tr '\\n' ' '; pwd", Duration::from_secs(5)).expect("runs");
        assert_eq!(all, "LC_ALL PATH PWD /\n");
        let error = sh("echo why >&2; exit 3", Duration::from_secs(5)).expect_err("fails").to_string();
        assert!(error.ends_with("exit status: 3: why"), "{error}");
        assert!(matches!(run(Path::new("/nowhere"), &[], Duration::ZERO), Err(ToolError::Missing { .. })));
    }

    #[test]
    fn a_tool_that_does_not_end_is_ended_with_its_children() {
        let mark = tempfile::NamedTempFile::new().expect("file");
        let script = format!("(sleep 1; echo alive >{}) & sleep 60", mark.path().display());
        let started = Instant::now();
        assert!(matches!(sh(&script, Duration::from_millis(100)), Err(ToolError::Timeout { .. })));
        assert!(started.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(1300));
        assert_eq!(std::fs::read_to_string(mark.path()).expect("there"), "");
    }

    #[test]
    fn a_talkative_tool_does_not_hang() {
        let said = sh("head -c 1000000 /dev/zero | tr '\\0' x", Duration::from_secs(5)).expect("runs");
        assert_eq!(said.len() as u64, SAID);
    }
}
