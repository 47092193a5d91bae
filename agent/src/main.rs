fn main() {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == aright_agent::cage::launcher::ARGUMENT) {
        aright_agent::cage::launcher::main();
    }
}
