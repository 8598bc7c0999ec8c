//! Two nodes on one PostgreSQL: either serves, and when one dies the other carries on.

use support::{Engine, Receiver, Setup};

use support::steps::*;

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_dies_the_other_carries_on() {
    let receiver = Receiver::start().await;
    let setup = behind_one_address()
        .await
        .env("OPTARE_WEBHOOK_TIMEOUT", "1")
        .env("OPTARE_WEBHOOK_LEASE_MARGIN", "1")
        .env("OPTARE_WEBHOOK_RETRY", "0.2");
    let mut first = setup.start().await;
    let second = first.another_node().await;
    let app = an_app(&first, &receiver, "customer-service").await;

    let installation = install(&second, &app).await;
    let delivered = credentials(&webhook(&receiver, &app, 1).await);
    let issued = tokens(&second, &signed_in_owner(&second).await, &app, &delivered).await;
    userinfo(&first, &text(&issued, "access_token")).await.expect(200);

    first.kill9().await;
    userinfo(&second, &text(&issued, "access_token")).await.expect(200);
    uninstall(&second, &installation).await.expect(204);
    userinfo(&second, &text(&issued, "access_token")).await.expect(401);
    assert_eq!(webhook(&receiver, &app, 2).await.json()["event"], "app.uninstalled");
    install(&second, &app).await;
    let again = credentials(&webhook(&receiver, &app, 3).await);
    tokens(&second, &signed_in_owner(&second).await, &app, &again).await;

    assert_in_order(&receiver.requests_to(&app.webhook_path));
    the_log_tells_the_same(second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_revokes_the_other_refuses_within_its_lag() {
    let receiver = Receiver::start().await;
    let first = behind_one_address().await.start().await;
    let second = first.another_node().await;
    let app = an_app(&first, &receiver, "bot").await;
    let installation = install(&first, &app).await;
    let delivered = credentials(&webhook(&receiver, &app, 1).await);
    let issued = tokens(&first, &signed_in_owner(&first).await, &app, &delivered).await;
    // Both nodes have everything about this token in memory.
    userinfo(&first, &text(&issued, "access_token")).await.expect(200);
    userinfo(&second, &text(&issued, "access_token")).await.expect(200);

    uninstall(&first, &installation).await.expect(204);
    userinfo(&first, &text(&issued, "access_token")).await.expect(401);
    support::eventually("the other node refuses the token", async || {
        (userinfo(&second, &text(&issued, "access_token")).await.status == 401).then_some(())
    })
    .await;
    drop(second);
    the_log_tells_the_same(first).await;
}

/// Nodes that are one issuer, whichever of them answers.
async fn behind_one_address() -> Setup {
    Setup::new(Engine::Postgres).await.env("OPTARE_BASE_URL", "http://id.example")
}
