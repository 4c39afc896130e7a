mod errors;
mod iterations;
mod layout;
