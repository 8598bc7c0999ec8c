//! Mails: made and sent in the background, so that no answer waits for a mail server or tells by its time what was
//! sent. Who got none asks for another one.

pub(crate) mod links;
pub(crate) mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::Email;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::Semaphore;
use tracing::{info, warn};
use url::Url;
use uuid::Uuid;

use crate::Settings;
use crate::settings::MailTransport;

/// So many mails are on their way at once; as many more as [`WAITING`] wait.
const AT_ONCE: usize = 8;
const WAITING: usize = 1_000;
/// A mail server that is not there for a moment is asked again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// Sends mails; cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: Option<Arc<Transport>>,
    from: Mailbox,
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

enum Transport {
    Folder(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

/// A setting about mails that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The address of the server. What was given may hold a password, so it is not repeated.
    #[error("--mail-url must be like smtps://user:password@host or smtp://host:587?tls=required: {0}")]
    Url(String),
    /// The sender.
    #[error("--mail-from must be an address like `Optare ID <no-reply@example.com>`: {0}")]
    From(String),
}

/// A mail, but for its receiver.
pub(crate) struct Mail {
    pub subject: String,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the address is none that a mail can be sent to")]
    Address,
    #[error("{0}")]
    Message(#[from] lettre::error::Error),
    #[error("{0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("the mail folder cannot be written: {0}")]
    Folder(#[from] std::io::Error),
}

impl Mailer {
    /// Prepares what the settings ask for; nothing is sent yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, MailError> {
        let accounts = &settings.accounts;
        let transport = match &accounts.mail {
            MailTransport::Off => None,
            MailTransport::Folder(folder) => Some(Transport::Folder(folder.clone())),
            MailTransport::Smtp(url) => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url.0)
                    .map_err(|error| MailError::Url(error.to_string()))?;
                Some(Transport::Smtp(builder.timeout(Some(Duration::from_secs(20))).build()))
            }
        };
        let host = Url::parse(&settings.base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        // `[::1]` is no domain of a mail address without its tag; such a server is for development.
        let host = host.filter(|host| !host.starts_with('[')).unwrap_or_else(|| "localhost".to_owned());
        let from = accounts.mail_from.clone().unwrap_or_else(|| format!("Optare ID <no-reply@{host}>"));
        let from = from.parse().map_err(|error: lettre::address::AddressError| MailError::From(error.to_string()))?;
        let (turns, queue) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WAITING)));
        Ok(Self { transport: transport.map(Arc::new), from, turns, queue })
    }

    /// Whether mails leave at all.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.transport.is_some()
    }

    /// Sends a mail, soon.
    pub(crate) fn send(&self, to: &Email, mail: Mail) {
        let Some(transport) = self.transport.clone() else { return };
        let Ok(place) = self.queue.clone().try_acquire_owned() else {
            warn!("a mail was not sent: {WAITING} are waiting already");
            return;
        };
        let (from, to, turns) = (self.from.clone(), to.clone(), self.turns.clone());
        tokio::spawn(async move {
            let _place = place;
            let Ok(_turn) = turns.acquire_owned().await else { return };
            let mut pauses = PAUSES.into_iter();
            while let Err(error) = transport.send(&from, &to, &mail).await {
                // Never the address, which is about a person.
                warn!("a mail ({}) could not be sent: {error}", mail.subject);
                let may_pass = !matches!(&error, SendError::Smtp(error) if error.is_permanent());
                match pauses.next().filter(|_| may_pass && !matches!(error, SendError::Address)) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return,
                }
            }
        });
    }
}

impl Transport {
    async fn send(&self, from: &Mailbox, to: &Email, mail: &Mail) -> Result<(), SendError> {
        let address: Address = to.as_str().parse().map_err(|_| SendError::Address)?;
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, address))
            .subject(mail.subject.as_str())
            // Holiday notices are not sent in reply (RFC 3834 §5).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        match self {
            Self::Folder(folder) => {
                // Readable as it lies there, with links in one piece; lines end so (RFC 5322 §2.1).
                let text = mail.text.replace('\n', "\r\n").into_bytes();
                let body = Body::dangerous_pre_encoded(text, ContentTransferEncoding::EightBit);
                let file = write(folder, &message.body(body)?.formatted()).await?;
                info!("wrote a mail, {}, to {}", mail.subject, file.display());
            }
            Self::Smtp(smtp) => {
                smtp.send(message.body(mail.text.clone())?).await?;
            }
        }
        Ok(())
    }
}

/// Writes a file that nobody finds half written.
async fn write(folder: &Path, message: &[u8]) -> std::io::Result<PathBuf> {
    let file = folder.join(format!("{}.eml", Uuid::now_v7().simple()));
    let unfinished = file.with_extension("new");
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::write(&unfinished, message).await?;
    tokio::fs::rename(&unfinished, &file).await?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SmtpUrl;

    fn with(mail: MailTransport, from: Option<&str>) -> Result<Mailer, MailError> {
        let mut settings = Settings::new("https://id.example.com");
        settings.accounts.mail = mail;
        settings.accounts.mail_from = from.map(str::to_owned);
        Mailer::new(&settings)
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_told_without_repeating_them() {
        let smtp = |url: &str| MailTransport::Smtp(SmtpUrl(url.to_owned()));
        assert!(with(smtp("smtps://user:secret@mail.example.com"), None).is_ok());
        assert!(with(smtp("smtp://mail.example.com:587?tls=required"), Some("Acme <id@acme.example>")).is_ok());
        let Err(error) = with(smtp("http://user:secret@mail.example.com"), None) else { panic!("http is no mail") };
        assert!(error.to_string().contains("--mail-url") && !error.to_string().contains("secret"), "{error}");
        assert!(with(MailTransport::Off, Some("nobody")).is_err());
        assert!(with(MailTransport::Off, None).is_ok_and(|mailer| !mailer.is_set_up()));
    }

    #[tokio::test]
    async fn a_mail_in_the_folder_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mailer =
            with(MailTransport::Folder(folder.path().to_owned()), None).unwrap_or_else(|error| panic!("{error}"));
        let text = format!("Grüße\n\nhttps://id.example.com/verify-email?token={}\n", "a".repeat(100));
        let mail = Mail { subject: "Bestätigen Sie".to_owned(), text: text.clone() };
        let transport = mailer.transport.clone().unwrap();
        transport
            .send(&mailer.from, &"ada@example.com".parse().unwrap(), &mail)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let written = std::fs::read_to_string(file).unwrap();
        assert!(
            written.contains("From: \"Optare ID\" <no-reply@id.example.com>\r\nTo: ada@example.com\r\n"),
            "{written}"
        );
        assert!(written.ends_with(&format!("\r\n\r\n{}", text.replace('\n', "\r\n"))), "{written}");
    }
}
