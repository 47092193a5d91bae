//! A gate before a controller: another address of it, until it is shut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::lab::Lab;
use crate::network::{self, Network};

pub struct Gate {
    address: SocketAddr,
    post: Arc<Post>,
}

struct Post {
    network: Network,
    behind: SocketAddr,
    /// Those that went through; `None` once it is shut.
    through: Mutex<Option<Vec<TcpStream>>>,
}

impl Gate {
    /// # Errors
    /// No port is free.
    pub fn open(lab: &Lab, behind: SocketAddr) -> anyhow::Result<Self> {
        let through = Mutex::new(Some(Vec::new()));
        let post = Arc::new(Post { network: Network::of(lab)?, behind, through });
        let shared = post.clone();
        let address = network::serve(lab, move |stream| shared.pass(stream))?;
        Ok(Self { address, post })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections went through.
    #[must_use]
    pub fn passed(&self) -> usize {
        let through = self.post.through.lock().unwrap_or_else(PoisonError::into_inner);
        through.as_ref().map_or(0, Vec::len)
    }

    /// Cuts all connections; from now on each new one is closed at once.
    pub fn shut(&self) {
        let through = self.post.through.lock().unwrap_or_else(PoisonError::into_inner).take();
        for stream in through.into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Post {
    fn pass(&self, stream: TcpStream) -> anyhow::Result<()> {
        let behind = self.network.connect(self.behind)?;
        if let Some(through) = self.through.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            through.push(stream.try_clone()?);
        } else {
            return Ok(());
        }
        let (there, back) = (stream.try_clone()?, behind.try_clone()?);
        std::thread::spawn(move || pass_on(there, back));
        pass_on(behind, stream);
        Ok(())
    }
}

/// Whatever comes, until its end, and then that.
pub(crate) fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
