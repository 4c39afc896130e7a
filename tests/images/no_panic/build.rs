//! Roots the image in the function that makes every call.

fn main() {
    println!("cargo:rustc-link-arg=--entry=every_call");
}
