//! Measures the built `tidemark` against a floor and the bars, in one go.
//!
//! `just bench` measures everything; `just bench pipeline series` measures only what is named.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people to run"
)]

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> anyhow::Result<()> {
    house_tests::crypto();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(bench::FLOOR) => bench::floor_process(&arguments[1..]),
        Some(bench::SAMPLE_API) => bench::sample_api_process(&arguments[1..]),
        _ => {
            println!("tidemark: {}", house_tests::binary().display());
            let wanted = bench::Wanted::parse(arguments)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let rows = runtime.block_on(bench::measure(&wanted));
            println!("\n{}", bench::table(&rows));
            Ok(())
        }
    }
}
