//! A canary: a port on the controller's address at which scripts say a word before they do anything else.
//!
//! It is outside every stage and cage, so that no undo reaches it: what it heard did run.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lab::Lab;
use crate::network;

/// Longest time that a connection may take to say its word.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Canary {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Canary {
    /// # Errors
    /// No port is free.
    pub fn new(lab: &Lab) -> anyhow::Result<Self> {
        let listener = network::listen(lab)?;
        let canary = Self { address: listener.local_addr()?, heard: Arc::default() };
        let heard = canary.heard.clone();
        // Ends with the test's process.
        std::thread::spawn(move || listen(&listener, &heard));
        Ok(canary)
    }

    /// A line of bash that sings. The script must say `network: host`.
    #[must_use]
    pub fn song(&self, word: &str) -> String {
        format!("echo \"{word}\" >/dev/tcp/{}/{}", self.address.ip(), self.address.port())
    }

    /// Every word so far, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn listen(listener: &TcpListener, heard: &Mutex<Vec<String>>) {
    for stream in listener.incoming().flatten() {
        let word = word(&stream);
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(word);
    }
}

/// A connection that says nothing counts too.
fn word(stream: &TcpStream) -> String {
    let mut line = String::new();
    if stream.set_read_timeout(Some(PATIENCE)).is_ok() {
        let _ = BufReader::new(stream).read_line(&mut line);
    }
    line.trim_end().to_owned()
}
