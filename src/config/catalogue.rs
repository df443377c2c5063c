//! Every key there is and the header it stands under, for those who wrote one in the wrong place.

/// Every header and its keys.
#[derive(Default)]
pub(super) struct Catalogue {
    /// As it is written, and its keys.
    pub(super) headers: Vec<(&'static str, Vec<&'static str>)>,
    pub(super) kinds: Vec<Keys>,
}

/// The keys of one kind of adapter.
pub(super) struct Keys {
    pub(super) kind: &'static str,
    pub(super) settings: Vec<&'static str>,
    pub(super) proxy: Vec<&'static str>,
}

impl Catalogue {
    /// The keys of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> Option<&Keys> {
        self.kinds.iter().find(|keys| keys.kind == kind)
    }

    /// The headers a key belongs under, in words; `None` when nobody knows the key.
    pub(super) fn home(&self, key: &str) -> Option<String> {
        let mut homes: Vec<String> = Vec::new();
        for (header, keys) in &self.headers {
            if keys.contains(&key) {
                homes.push((*header).to_owned());
            }
        }
        let settings = self.kinds.iter().filter(|keys| keys.settings.contains(&key));
        homes.extend(of_kinds("[adapter.settings]", settings));
        let proxy = self.kinds.iter().filter(|keys| keys.proxy.contains(&key));
        if !homes.iter().any(|home| home == "[[adapter.proxy]]") {
            homes.extend(of_kinds("[[adapter.proxy]]", proxy));
        }
        if matches!(key, "per_second" | "per_minute" | "burst") {
            homes.push("a rate, as in rate = { per_second = 10, burst = 20 }".to_owned());
        }
        (!homes.is_empty()).then(|| homes.join(" or "))
    }

    /// Every header with its keys; those of kinds under `[adapter.settings]` and `[[adapter.proxy]]`.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<(&'static str, Option<&'static str>, Vec<&'static str>)> {
        let own = self.headers.iter().map(|(header, keys)| (*header, None, keys.clone()));
        let kinds = self.kinds.iter().flat_map(|keys| {
            [
                ("[adapter.settings]", Some(keys.kind), keys.settings.clone()),
                ("[[adapter.proxy]]", Some(keys.kind), keys.proxy.clone()),
            ]
        });
        own.chain(kinds).collect()
    }
}

fn of_kinds<'a>(header: &str, kinds: impl Iterator<Item = &'a Keys>) -> Option<String> {
    let names: Vec<_> = kinds.map(|keys| keys.kind).collect();
    (!names.is_empty()).then(|| format!("{header} of kind {}", names.join(" or ")))
}
