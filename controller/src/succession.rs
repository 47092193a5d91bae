//! Another trust document comes into force: brought by a person, or by an agent that knows more than a controller that
//! was restored. Who brings it does not matter: the root key has signed it.

use std::sync::Arc;

use aright_shared::envelope::Envelope;
use aright_shared::time::Millis;
use aright_shared::trust::TrustError;

use crate::app::App;
use crate::error::Refused;
use crate::store::{Tx, audit};

/// By the one writer: of two at once the second sees the first.
///
/// # Errors
/// Not signed by the root in force, not of a higher version, over, or it cannot be kept.
pub fn take(app: &Arc<App>, tx: &Tx<'_>, envelope: &Envelope, who: &str, now: Millis) -> Result<(), Refused> {
    let current = app.trust();
    let next = current.succeed(envelope).map_err(|error| not_taken(&error))?;
    let document = &next.document;
    if document.expires <= now {
        return Err(Refused::invalid("expires", document.expires, "the trust document has expired already")
            .remedy("let the holder of the root key sign one that lasts"));
    }
    let approvers: Vec<_> = document.approvers.iter().map(|approver| approver.name.as_str()).collect();
    let detail = format!(
        "version {} until {}: {} of {}",
        document.version,
        document.expires,
        document.threshold,
        approvers.join(", ")
    );
    let subject = next.fingerprint().to_string();
    audit::append(
        tx,
        &audit::Entry { at: now, who, action: "trust.import", subject: &subject, detail: &detail },
    )?;
    next.keep(&app.data)?;
    tracing::warn!(trust.version = document.version, who, "another trust document is in force");
    let app = app.clone();
    tx.on_commit(move || app.replace_trust(next));
    Ok(())
}

fn not_taken(error: &TrustError) -> Refused {
    let refused = |field, remedy: &str| {
        Refused::invalid(field, error, "the trust document is not taken").remedy(remedy)
    };
    match error {
        TrustError::NotNewer { .. } => refused("version", "sign one of a higher version"),
        TrustError::Threshold { .. } => refused("threshold", "sign one whose approvers can reach it"),
        TrustError::WrongRoot { .. } | TrustError::Open(_) => {
            refused("envelope", "let the holder of the root key that is in force sign it: aright trust show")
        }
    }
}
