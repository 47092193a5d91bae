#[derive(clap::Args)]
pub struct When {}
impl When {
    pub fn schedule(self) -> anyhow::Result<aright_shared::api::Schedule> {
        Ok(Default::default())
    }
}
