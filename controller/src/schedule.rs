use crate::error::Refused;
use aright_shared::api::Schedule;
use aright_shared::time::Millis;
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub local: jiff::civil::DateTime,
    pub at: Millis,
    pub latest: Millis,
}
pub fn check(_: &Schedule) -> Result<(), Refused> {
    Ok(())
}
pub fn next(_: &Schedule, _: Millis) -> Option<Occurrence> {
    None
}
pub fn upcoming(_: &Schedule, _: Millis, _: usize) -> Vec<Occurrence> {
    Vec::new()
}
pub fn instant(_: jiff::civil::DateTime, _: &str) -> Millis {
    Millis(0)
}
