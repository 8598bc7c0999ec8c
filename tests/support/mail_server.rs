//! A mail server that keeps what it gets (RFC 5321, as much as a sender needs).

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::eventually;

pub struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// Starts one that puts its first sender off.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback interface has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = mails.clone();
        tokio::spawn(async move {
            let mut is_first = true;
            while let Ok((stream, _)) = listener.accept().await {
                let _ = talk(stream, std::mem::take(&mut is_first), &kept).await;
            }
        });
        Self { port, mails }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Waits for the n-th mail, counted from one, with its lines in one piece again.
    pub async fn mail(&self, n: usize) -> String {
        let what = format!("mail {n}");
        let mail =
            eventually(&what, async || self.mails.lock().expect("no test panics with the mails").get(n - 1).cloned());
        // Quoted-printable (RFC 2045 §6.7), for texts of ASCII.
        mail.await.replace("=\r\n", "").replace("=3D", "=")
    }
}

async fn talk(mut stream: TcpStream, put_off: bool, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading);
    if put_off {
        return writing.write_all(b"421 come back later\r\n").await;
    }
    writing.write_all(b"220 test\r\n").await?;
    let (mut line, mut mail, mut in_mail) = (String::new(), String::new(), false);
    loop {
        line.clear();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end() {
            "." if in_mail => {
                in_mail = false;
                mails.lock().expect("no test panics with the mails").push(std::mem::take(&mut mail));
                "250 kept"
            }
            _ if in_mail => {
                mail.push_str(&line);
                continue;
            }
            "DATA" => {
                in_mail = true;
                "354 go on"
            }
            "QUIT" => return writing.write_all(b"221 bye\r\n").await,
            _ => "250 ok",
        };
        writing.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
