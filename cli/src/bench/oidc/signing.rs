//! Token signing on one thread: ours, jsonwebtoken's `encode`, and the library under both with a kept key.

use std::time::{Duration, Instant};

use api::SigningKeys;
use api::keys::PrivateKey;
use chrono::Utc;
use database::{LOG_SQLITE, open_sqlite};
use domain::SigningAlgorithm;
use eventstore::{Clock, EventStore, MasterKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::bench::measure::{Failure, Sample};
use crate::bench::report::{Rounds, Row, print};

/// As many claims as an ID token has.
fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "sub": "user_0198f3a1000070008000000000000001", "aud": "app_bench",
        "exp": 1_800_003_600, "iat": 1_800_000_000, "auth_time": 1_800_000_000, "nonce": "n-0S6_WzA2Mj",
        "sid": "session_0198f3a1000070008000000000000001",
    })
}

/// Adds its rows.
pub async fn measure(rounds: usize, time: Duration, bench: &'static str, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let log = open_sqlite(&folder.path().join("log.sqlite"), LOG_SQLITE).await?;
    let master = MasterKey::from_file(&folder.path().join("master.key"))?;
    let store = EventStore::open(log.clone(), master, Clock::default(), &["instance"]).await?;
    let keys = SigningKeys::open(&store).await?;
    for (algorithm, alg, [kept, ours, theirs]) in [
        (SigningAlgorithm::Rs256, Algorithm::RS256, ["RS256 kept key", "RS256 sign()", "RS256 jsonwebtoken"]),
        (SigningAlgorithm::Es256, Algorithm::ES256, ["ES256 kept key", "ES256 sign()", "ES256 jsonwebtoken"]),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA, ["EdDSA kept key", "EdDSA sign()", "EdDSA jsonwebtoken"]),
    ] {
        let pkcs8 = PrivateKey::generate(algorithm)?;
        let private = PrivateKey::parse(algorithm, &pkcs8)?;
        let encoding = match algorithm {
            // PKCS #1, which stands in PKCS #8 after 26 bytes of header.
            SigningAlgorithm::Rs256 => EncodingKey::from_rsa_der(&pkcs8[26..]),
            SigningAlgorithm::Es256 => EncodingKey::from_ec_der(&pkcs8),
            SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(&pkcs8),
        };
        let (claims, now) = (claims(), Utc::now());
        let header = Header { kid: Some("bench".to_owned()), ..Header::new(alg) };
        let message = keys.sign(algorithm, "JWT", &claims, now)?;
        let message = message.rsplit_once('.').map(|(message, _)| message.to_owned()).unwrap_or_default();

        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            samples[0].push(repeat(time, || Ok(private.sign(message.as_bytes()).map(drop)?))?);
            samples[1].push(repeat(time, || Ok(keys.sign(algorithm, "JWT", &claims, now).map(drop)?))?);
            samples[2].push(repeat(time, || Ok(encode(&header, &claims, &encoding).map(drop)?))?);
        }
        let kept = Rounds { case: kept, samples: &samples[0] };
        for (case, samples) in [(ours, &samples[1]), (theirs, &samples[2])] {
            let row = Row::new(bench, "–", 1, &Rounds { case, samples }, Some(&kept));
            print(&row);
            rows.push(row);
        }
    }
    log.close().await;
    Ok(())
}

fn repeat(time: Duration, mut once: impl FnMut() -> Result<(), Failure>) -> Result<Sample, Failure> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let asked = Instant::now();
        once()?;
        times.push(asked.elapsed());
    }
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(time);
    Ok(Sample { per_second, p50: at(0.5), p99: at(0.99) })
}
