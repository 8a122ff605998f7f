//! Tells cargo that a new migration file means a new build: the files are embedded.

fn main() {
    println!("cargo:rerun-if-changed=sqlite");
    println!("cargo:rerun-if-changed=postgres");
}
