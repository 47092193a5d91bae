//! The ten fixes: controls of the library that need no kernel of their own, and how else they are judged.

pub struct Fix {
    pub number: u32,
    pub control: &'static str,
    /// Run on the host; what it prints when it is fixed. It prints something else before.
    pub judge: (&'static str, &'static str),
    /// The rules of the SCAP Security Guide for the same subject; none where it judges otherwise.
    pub rules: &'static [&'static str],
}

pub const FIXES: [Fix; 10] = [
    Fix {
        number: 10003,
        control: "sshd-max-auth-tries",
        judge: ("sshd -T | sed -n 's/^maxauthtries //p'", "4"),
        rules: &[],
    },
    Fix {
        number: 10013,
        control: "sshd-config-permissions",
        judge: ("stat -c '%U %G %a' /etc/ssh/sshd_config", "root root 600"),
        rules: &["file_permissions_sshd_config"],
    },
    Fix {
        number: 10018,
        control: "login-defs-pass-max-days",
        judge: ("sed -nE 's/^PASS_MAX_DAYS[[:space:]]+//p' /etc/login.defs", "365"),
        rules: &["accounts_maximum_age_login_defs"],
    },
    Fix {
        number: 10021,
        control: "login-defs-umask",
        judge: ("sed -nE 's/^UMASK[[:space:]]+//p' /etc/login.defs", "027"),
        rules: &["accounts_umask_etc_login_defs"],
    },
    Fix {
        number: 10022,
        control: "useradd-inactive",
        judge: ("useradd -D | sed -n 's/^INACTIVE=//p'", "45"),
        rules: &["account_disable_post_pw_expiration"],
    },
    Fix {
        number: 10031,
        control: "shell-idle-timeout",
        judge: ("env -i bash -lc 'echo $TMOUT' | tail -n 1", "900"),
        rules: &[],
    },
    Fix {
        number: 10037,
        control: "crontab-permissions",
        judge: ("stat -c '%U %a' /etc/crontab", "root 600"),
        rules: &["file_permissions_crontab"],
    },
    Fix {
        number: 10038,
        control: "cron-folder-permissions",
        judge: (
            "stat -c '%U %a' /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/cron.d | sort -u",
            "root 700",
        ),
        rules: &[
            "file_permissions_cron_hourly",
            "file_permissions_cron_daily",
            "file_permissions_cron_weekly",
            "file_permissions_cron_monthly",
            "file_permissions_cron_d",
        ],
    },
    Fix {
        number: 10051,
        control: "rare-file-systems",
        judge: (
            "modprobe --showconfig | grep -cE '^(install|blacklist) (cramfs|freevxfs|hfs|hfsplus|jffs2)( |$)' || true",
            "10",
        ),
        rules: &[
            "kernel_module_cramfs_disabled",
            "kernel_module_freevxfs_disabled",
            "kernel_module_hfs_disabled",
            "kernel_module_hfsplus_disabled",
            "kernel_module_jffs2_disabled",
        ],
    },
    Fix {
        number: 10052,
        control: "usb-storage",
        judge: ("modprobe --showconfig | grep -cE '^(install|blacklist) usb.storage( |$)' || true", "2"),
        rules: &["kernel_module_usb-storage_disabled"],
    },
];
