//! `POST check-in`: the agent is there; orders, at once or when there are some. With nothing to say
//! on either side no database is asked.

use std::sync::Arc;
use std::time::Duration;

use aright_shared::time::Millis;
use aright_shared::wire::{CheckIn, MAX_WAIT_S, Orders};
use axum::extract::State;
use axum::{Extension, Json};
use tokio::time::Instant;

use crate::app::App;
use crate::auth::agent::{Agent, revoked};
use crate::dispatch::deliver;
use crate::error::Refused;
use crate::http_in::{Body, check_line};
use crate::presence::{Held, Live, LiveState};
use crate::store::{StoreError, assets, audit};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Body(told): Body<CheckIn>,
) -> Result<Json<Orders>, Refused> {
    check(&told)?;
    let now = app.now();
    let (poll, contradiction) = note(&mut live.state(), &told, now);
    // Compared once: what is reported while this check-in is held is not out of step with it.
    let full_report = told.observations.is_some() && told.observations != live.state().observations;
    live.wake();
    if let Some(why) = contradiction {
        quarantine(&app, &live, why, now).await?;
    }
    let until = Instant::now() + Duration::from_secs(u64::from(told.wait_s.min(MAX_WAIT_S)));
    let _held = Held::new(&live, poll);
    loop {
        let woken = live.woken();
        tokio::pin!(woken);
        // From here on no call of `wake` is missed, so what is looked at below cannot change unseen.
        woken.as_mut().enable();
        if live.state().revoked {
            return Err(revoked(&live.asset));
        }
        if live.state().poll != poll {
            // A later check-in is there: what there is to say is said to that one.
            return Ok(Json(Orders::default()));
        }
        // With every reply, but only news of it ends the wait: it takes a while to end.
        let (cancel, is_news) = live.state().say_cancel();
        let orders = Orders { full_report, cancel, ..orders(&app, &live, &told).await? };
        if is_news || !is_empty(&orders) || app.is_stopping() || Instant::now() >= until {
            return Ok(Json(orders));
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep_until(until) => {}
            () = app.stopped() => {}
        }
    }
}

fn check(told: &CheckIn) -> Result<(), Refused> {
    check_line("disabled", told.disabled.as_deref().unwrap_or_default(), 1024)?;
    check_line("agent_version", &told.agent_version, 1024)
}

/// Takes down what was told: the number of this poll, and what contradicts what we know.
fn note(state: &mut LiveState, told: &CheckIn, now: Millis) -> (u64, Option<String>) {
    let contradiction = contradiction(state, told);
    state.touch(now);
    state.counter = state.counter.max(told.counter);
    state.disabled.clone_from(&told.disabled);
    state.agent_version.clone_from(&told.agent_version);
    if let Some(reading) = told.clock {
        state.clock = Some((reading, now));
    }
    state.poll += 1;
    (state.poll, contradiction.filter(|_| state.quarantined.is_none()))
}

fn contradiction(state: &LiveState, told: &CheckIn) -> Option<String> {
    if told.machine != state.machine {
        return Some(format!("another machine ({}) uses its certificate", told.machine));
    }
    (told.counter < state.counter).then(|| {
        format!(
            "its check-in counter fell from {} to {}: a clone, or a snapshot rolled back",
            state.counter, told.counter
        )
    })
}

async fn quarantine(app: &App, live: &Arc<Live>, why: String, now: Millis) -> Result<(), StoreError> {
    tracing::warn!(asset.id = %live.asset, why, "quarantined");
    let live = live.clone();
    app.store
        .write(move |tx| {
            assets::quarantine(tx, &live.asset, &why, now)?;
            let entry = audit::Entry {
                at: now,
                who: "controller",
                action: "asset.quarantine",
                subject: live.asset.as_str(),
                detail: &why,
            };
            audit::append(tx, &entry)?;
            let known = live.clone();
            tx.on_commit(move || known.state().quarantined = Some(why));
            Ok(())
        })
        .await
}

/// What there is to say now.
async fn orders(app: &Arc<App>, live: &Live, told: &CheckIn) -> Result<Orders, Refused> {
    let mut orders = Orders::default();
    if told.trust_version < app.trust.document.version {
        orders.trust = Some(app.trust.envelope.clone());
    }
    let work = {
        let mut state = live.state();
        let eligible = state.reasons().is_empty();
        orders.evaluate = std::mem::take(&mut state.evaluate);
        // While it is not eligible the work waits for it.
        eligible && std::mem::take(&mut state.work)
    };
    if work {
        let claimed = deliver::claim(app, &live.asset).await;
        live.state().work |= claimed.is_err();
        orders.tasks.extend(claimed?);
    }
    Ok(orders)
}

/// But for what is to be cancelled.
fn is_empty(orders: &Orders) -> bool {
    orders.tasks.is_empty() && !orders.evaluate && !orders.full_report && orders.trust.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::digest::Digest;

    fn told(counter: u64, machine: &[u8]) -> CheckIn {
        CheckIn {
            counter,
            machine: Digest::of(machine),
            wait_s: 0,
            observations: None,
            trust_version: 1,
            clock: None,
            disabled: None,
            agent_version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_falling_counter_and_another_machine_are_contradictions_a_repeat_is_not() {
        let mut state = LiveState::enrolled(Digest::of(b"m"), "0.1.0".into());
        assert_eq!(note(&mut state, &told(5, b"m"), Millis(1)).1, None);
        assert_eq!(note(&mut state, &told(5, b"m"), Millis(2)).1, None);
        assert!(note(&mut state, &told(4, b"m"), Millis(3)).1.expect("seen").contains("from 5 to 4"));
        assert!(note(&mut state, &told(6, b"n"), Millis(4)).1.expect("seen").contains("another machine"));
    }
}
