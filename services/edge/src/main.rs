//! The `monodon-edge` binary: everything is in the library, so that tests and benches link the same code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    monodon_edge::cli::main(&args)
}
