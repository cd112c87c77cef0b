//! The least that a Rust program can do, which this program does when it is asked to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::error::Error;

/// The argument with which this program does nothing.
pub(crate) const EMPTY: &str = "empty";

/// The argument with which it connects and sends back what comes.
pub(crate) const ECHO: &str = "echo";

/// Sends back what comes from where a function finds its Runtime API.
pub(crate) fn echo() -> Result<(), Error> {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API")
        .map_err(|_| Error::Usage("AWS_LAMBDA_RUNTIME_API is not set".to_owned()))?;
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut buffer = vec![0_u8; 65536];
    loop {
        match connection.read(&mut buffer)? {
            0 => return Ok(()),
            size => connection.write_all(&buffer[..size])?,
        }
    }
}
