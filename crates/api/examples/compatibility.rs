//! Prints the table of operations that `cargo xtask generate` puts into docs/compatibility.md.

fn main() {
    print!("{}", lambd_api::compatibility_table());
}
