//! The library's ten scripts one after the other as root on the host itself, then what they activate: what they cost
//! without stage, judging, commit and undo.

use anyhow::{Context as _, bail};
use aright_shared::content::control::Instances;
use aright_shared::content::script::Activation;
use aright_shared::id::Key;
use aright_shared::library::Library;

use crate::fixes::FIXES;

/// # Errors
/// A control, its instances or its activation are of a kind that no fix here had so far.
pub fn script() -> anyhow::Result<String> {
    let mut text = String::new();
    let mut reload = false;
    for fix in &FIXES {
        let (library, key) =
            (Library::builtin(), |text: &str| text.parse::<Key>().map_err(anyhow::Error::msg));
        let (control, technology) = (key(fix.control)?, key("debian-12")?);
        let on = library.control(&control).and_then(|one| one.on(&technology)).context(fix.control)?;
        let script = library.fixes(&control, &technology).next().context(fix.control)?;
        let Instances::Fixed { values } = &on.instances else { bail!("{control}: instances by a pattern") };
        let set = on.set().map(aright_shared::posture::Value::plain).unwrap_or_default();
        let (instances, body) = (values.join("\n"), &script.body);
        text += &format!("ARIGHT_SET='{set}' ARIGHT_INSTANCES='{instances}' sh <<'BODY'\n{body}\nBODY\n");
        reload |= match script.activate.as_slice() {
            [] => false,
            [Activation::Reload(units)] if units.iter().any(|unit| unit == "ssh") => true,
            others => bail!("{control}: {others:?}"),
        };
    }
    Ok(if reload { text + "systemctl reload ssh\n" } else { text })
}
