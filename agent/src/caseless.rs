//! Paths as Windows compares them: case means nothing, and `/` is `\`.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// Whether a path names a folder, or what is in it.
pub fn is_at_or_below(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (folded(path), folded(folder));
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is named by patterns: `*`, `?` and `[…]` within one name, a folder's for all that is in it.
#[derive(Debug)]
pub struct Patterns(Vec<GlobMatcher>);

impl Patterns {
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a Path>) -> Self {
        let one = |pattern: &Path| {
            // Braces and `**` mean nothing more, as on Linux.
            let text = folded(pattern).replace('{', "[{]").replace('}', "[}]").replace("**", "*");
            let text = text.trim_end_matches('/');
            let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(false).build();
            glob.ok().map(|glob| glob.compile_matcher())
        };
        Self(patterns.into_iter().filter_map(one).collect())
    }

    pub fn hold(&self, path: &Path) -> bool {
        let path = folded(path);
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        above.chain([path.as_str()]).any(|part| self.0.iter().any(|pattern| pattern.is_match(part)))
    }
}

fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_or_below_a_folder_is_told_by_whole_names() {
        let below = |path: &str, folder: &str| is_at_or_below(Path::new(path), Path::new(folder));
        for (path, folder) in [
            (r"C:\Secrets", r"c:\secrets"),
            (r"C:\Secrets\a", r"c:\SECRETS\"),
            (r"C:\a", r"C:\"),
            (r"registry:HKLM\SAM\x", r"registry:HKLM\sam"),
        ] {
            assert!(below(path, folder), "{path} {folder}");
        }
        assert!(!below(r"C:\SecretsOfNobody", r"C:\Secrets") && !below(r"C:\", r"C:\Secrets"));
    }

    #[test]
    fn a_pattern_holds_whole_names_and_what_is_in_them() {
        let patterns = Patterns::new([r"C:\Keys", r"D:\Users\*\.ssh\id_?", r"E:\{x}\"].map(Path::new));
        for path in
            [r"c:\keys", r"C:\KEYS\a\b", r"d:\users\Ann\.SSH\id_1", r"D:/Users/ann/.ssh/id_1", r"e:\{X}\y"]
        {
            assert!(patterns.hold(Path::new(path)), "{path}");
        }
        for path in [r"C:\KeysOfNobody", r"C:\", r"D:\Users\a\b\.ssh\id_1", r"D:\Users\ann\.ssh\id_12"] {
            assert!(!patterns.hold(Path::new(path)), "{path}");
        }
    }
}
