//! `[[template]]`: what a ContentSid stands for.

use std::collections::HashSet;

use trunkline_adapter::Section;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateConfig {
    /// `HX` and 32 hexadecimal digits, as written.
    pub sid: String,
    /// Its text, with blanks such as `{{1}}`.
    pub body: String,
    /// Name and language by which WhatsApp knows it.
    pub whatsapp: Option<(String, String)>,
}

/// The longest text: what a chat message may hold.
const LONGEST: usize = 32 * 1024;

/// Reads every `[[template]]`.
pub(super) fn templates(root: &mut Section) -> Vec<TemplateConfig> {
    let mut taken = HashSet::new();
    let mut templates = Vec::new();
    for mut section in root.tables("template") {
        templates.extend(template(&mut section, &mut taken));
        root.absorb(section);
    }
    templates
}

/// Reads one `[[template]]`.
pub(super) fn template(section: &mut Section, taken: &mut HashSet<String>) -> Option<TemplateConfig> {
    let sid = super::account::sid(section, "HX", taken);
    let body = section.required("body");
    if body.as_ref().is_some_and(|body| body.len() > LONGEST) {
        section.problem("body", format!("is longer than {LONGEST} bytes"), None);
    }
    let whatsapp = section.table("whatsapp").and_then(|mut named| {
        let (name, language) = (named.required("name"), named.required("language"));
        section.absorb(named);
        Some((name?, language?))
    });
    Some(TemplateConfig { sid: sid?, body: body?, whatsapp })
}
