//! What became of a task's goal ([`Outcome`]) and of the host ([`HostChange`]).

/// Enums that are lower-case words on the wire, in files, in the store and on screen.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("{other:?}: expected {}", [$($word,)+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What became of the goal.
    Outcome {
        /// Every target posture that failed now passes.
        Fixed = "fixed",
        /// A library script's targets all passed by then: it did not run.
        AlreadyCompliant = "already_compliant",
        /// A custom script, exit 0, where no target of the job applies or none failed beforehand.
        Ran = "ran",
        /// Not final: decided after the next boot.
        NeedsReboot = "needs_reboot",
        /// Exit 0, but a target does not pass.
        RanNotFixed = "ran_not_fixed",
        /// Exit code not 0, or a signal.
        ScriptFailed = "script_failed",
        /// It changed something that it had not declared.
        Overreach = "overreach",
        /// The whole process tree was ended.
        TimedOut = "timed_out",
        /// A file changed under us between stage and commit.
        Conflict = "conflict",
        /// A service did not come back, a value did not take.
        ActivationFailed = "activation_failed",
        /// Another control of the asset turned from pass to anything else.
        Regressed = "regressed",
        /// Controller or a health probe not reached within the confirm time.
        LostContact = "lost_contact",
        /// Agent or host died in between.
        Interrupted = "interrupted",
        /// The host never came before expiry.
        Undelivered = "undelivered",
        /// An operator's wish.
        Cancelled = "cancelled",
        /// Did not start, for one [`Refusal`].
        Refused = "refused",
    }
}

words! {
    /// What became of the host.
    HostChange {
        None = "none",
        Kept = "kept",
        Undone = "undone",
        UndoConflict = "undo_conflict",
        Unknown = "unknown",
    }
}

words! {
    /// The one reason of `refused`. Where several hold, the first in this order counts.
    Refusal {
        ClockSkew = "clock_skew",
        ClockUnknown = "clock_unknown",
        /// A byte changed.
        BadSignature = "bad_signature",
        /// A right signature by a key that is not trusted, or a library digest the agent does not carry.
        NotApproved = "not_approved",
        /// A value outside its signed pattern.
        BadParameter = "bad_parameter",
        Expired = "expired",
        Replayed = "replayed",
        WrongAsset = "wrong_asset",
        /// A target is now `error` or does not apply.
        NotFailed = "not_failed",
        Unsupported = "unsupported",
        ConfinementUnavailable = "confinement_unavailable",
        /// A lock-out-prone fix while the controller is out of reach.
        Unreachable = "unreachable",
        /// A declared file that cannot be committed.
        ReadOnly = "read_only",
        Guard = "guard",
        ManagedElsewhere = "managed_elsewhere",
        /// By this host's agent.toml.
        Denied = "denied",
        Disabled = "disabled",
        Licence = "licence",
        NoSpace = "no_space",
    }
}

impl Outcome {
    /// Whether the task has ended for good.
    pub fn is_final(self) -> bool {
        self != Self::NeedsReboot
    }

    /// Nobody could wish for more.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Fixed | Self::AlreadyCompliant | Self::Ran)
    }

    /// Whether it speaks against going on with the next host. A refusal and a person's wish do not: nothing
    /// was tried.
    pub fn is_failure(self) -> bool {
        !self.is_good() && !matches!(self, Self::NeedsReboot | Self::Cancelled | Self::Refused)
    }
}
