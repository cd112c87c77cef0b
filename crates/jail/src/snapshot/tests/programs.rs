//! What restored programs can do.

use super::support::{Taken, Template};

/// Waits for code and runs it.
const PYTHON: &str = "
import os, sys
greeting = 'hello'
numbers = list(range(100000))
os.write(1, b'.')
exec(os.read(3, 65536))
sys.stdout.flush()
";

fn python() -> Taken {
    Template::new("/usr/bin/python3", &["-c", PYTHON]).capture().expect("a snapshot")
}

#[test]
fn python_goes_on() {
    let snapshot = python();
    snapshot.start().expect("print(greeting, sum(numbers), os.getpid())", "hello 4999950000 2\n");
}
