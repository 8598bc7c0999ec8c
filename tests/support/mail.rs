//! The mails that a development server writes instead of sending them.

use crate::{Server, eventually};

/// A mail as its receiver finds it.
#[derive(Debug, Clone)]
pub struct Mail {
    pub text: String,
}

impl Mail {
    /// The first link on a line of its own.
    #[track_caller]
    pub fn link(&self) -> String {
        let mut lines = self.text.lines().map(str::trim);
        lines.find(|line| line.starts_with("http")).unwrap_or_else(|| panic!("no link in {}", self.text)).to_owned()
    }

    /// The token of that link.
    #[track_caller]
    pub fn token(&self) -> String {
        let link: url::Url = self.link().parse().expect("the link is a URL");
        let token = link.query_pairs().find(|(name, _)| name == "token").expect("the link has a token");
        token.1.into_owned()
    }
}

/// Every mail to an address so far, oldest first.
pub fn mails_to(server: &Server, address: &str) -> Vec<Mail> {
    let Ok(folder) = std::fs::read_dir(server.setup().data().join("mail")) else { return Vec::new() };
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts.filter(|text| text.contains(&format!("\nTo: {address}\r"))).map(|text| Mail { text }).collect()
}

/// Waits for the n-th mail to an address, counted from one.
pub async fn mail_to(server: &Server, address: &str, n: usize) -> Mail {
    eventually(&format!("mail {n} to {address}"), async || mails_to(server, address).get(n - 1).cloned()).await
}
