//! Stage and cage with real scripts, on a throwaway view of this machine.

mod world;

use aright_shared::task::Exit;
use world::{compare, on_host, paths, wrong};

#[test]
fn a_declared_change_is_found_and_the_host_untouched() {
    on_host(1, |world| {
        let before = world.digest();
        let compared = compare(&["/etc/login.defs"], "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs");
        assert_eq!(paths(&compared), ["/etc/login.defs"]);
        assert_eq!(wrong(&compared), [""; 0]);
        assert_eq!(world.digest(), before);
    });
}

#[test]
fn output_and_exit_come_back() {
    on_host(1, |_| {
        let ran = world::run(&[], "echo out; echo err >&2; pwd; id -u; env; exit 3");
        assert_eq!(ran.script.exit, Exit::Code(3));
        println!("{:?}\n{:?}", ran.script, ran.confinement());
    });
}
