fn main() -> std::process::ExitCode {
    aright::main()
}
