//! What agent, launcher and PID 1 say to each other: frames of JSON, with descriptors where needed.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::{InForce, Unavailable};

/// Longest frame: a script's body as JSON, and some.
const MAX_FRAME: usize = 8 << 20;
/// Most descriptors in one frame.
const MAX_FDS: usize = 64;

/// From the agent to its launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// First, once, with the network namespace of all who need none, else one is made: answered by [`Answer::Opened`] or [`Answer::Unavailable`].
    Open(Plan),
    /// Then, once: answered by [`Answer::Ended`] when the last process is gone.
    Run(RunOrder),
    /// Ends the whole tree.
    End,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Opened(Opened),
    Unavailable(Unavailable),
    Ended(Ended),
}

/// The stage stands. Descriptors: its root, stdout and stderr to read from, then one per writable folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened {
    pub writable: Vec<WritableFolder>,
    pub in_force: InForce,
}

/// Where the script's changes show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritableFolder {
    pub at: PathBuf,
    pub by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The descriptor is the upper layer: it names candidates.
    Overlay,
    /// The descriptor is a whole private copy.
    Copy,
}

/// One script, once.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunOrder {
    pub interpreter: PathBuf,
    pub body: String,
    pub environment: BTreeMap<String, String>,
}

/// All processes are gone and the stage is read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How the script's first process ended; absent when PID 1 was ended from outside first.
    pub status: Option<Status>,
    /// Why it could not be started.
    pub not_started: Option<String>,
    pub cpu_ms: u64,
    pub peak_memory_kb: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Code(i32),
    Signal(i32),
}

/// From PID 1 to the launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    Ready(InForce),
    Unavailable(Unavailable),
    Ended(Status),
    NotStarted(String),
}

/// One end of a stream of frames.
#[derive(Debug)]
pub struct Channel(UnixStream);

/// A frame's length and body.
fn frame(message: &impl Serialize) -> io::Result<([u8; 4], Vec<u8>)> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|n| *n as usize <= MAX_FRAME);
    let length =
        length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes is too long", body.len())))?;
    Ok((length.to_le_bytes(), body))
}

impl Channel {
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Self(a), Self(b)))
    }

    pub fn of(fd: OwnedFd) -> Self {
        Self(fd.into())
    }

    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }

    /// By write(2): PID 1 may no longer pass descriptors on.
    pub fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let (length, body) = frame(message)?;
        (&self.0).write_all(&length)?;
        (&self.0).write_all(&body)
    }

    pub fn send_with(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let (length, body) = frame(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other(format!("{} descriptors are too many for one frame", fds.len())));
        }
        // The length is shorter than any buffer: sent whole, with the descriptors.
        sendmsg(&self.0, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
        (&self.0).write_all(&body)
    }

    /// The next frame; None when the other end is closed. By read(2): PID 1 may no longer take descriptors.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        let mut length = [0; 4];
        if rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut length[..1]))? == 0 {
            return Ok(None);
        }
        (&self.0).read_exact(&mut length[1..])?;
        self.body(length).map(Some)
    }

    pub fn receive_with<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags)
        })?;
        match got.bytes {
            0 => return Ok(None),
            4 => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        let fds = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds = fds.flatten().collect();
        Ok(Some((self.body(length)?, fds)))
    }

    fn body<T: DeserializeOwned>(&self, length: [u8; 4]) -> io::Result<T> {
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::other(format!("a frame of {length} bytes is too long")));
        }
        let mut body = vec![0; length];
        (&self.0).read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
