//! The server's command line.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Where two providers are compiled in, TLS panics at its first use unless one was chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    convoke::cli::main()
}
