//! The receiver that the HTTP works post to, for programs in other languages to post to as well.

use std::io;

use benches::Receiver;

/// Prints where it listens, and answers until its standard input ends.
fn main() -> io::Result<()> {
    let receiver = Receiver::start();
    println!("{}", receiver.url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    eprintln!("{} requests", receiver.requests());
    Ok(())
}
