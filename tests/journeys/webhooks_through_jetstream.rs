//! Webhooks when JetStream distributes the work: also when it is gone, and when it forgot everything.

use support::{Nats, Receiver, Setup, on_both_engines};

use support::steps::*;

on_both_engines! {
    async fn nothing_is_lost_while_jetstream_is_down_or_wiped(engine: Engine) {
        let (mut nats, receiver) = (Nats::start().await, Receiver::start().await);
        let server = Setup::new(engine).await.nats(&nats).start().await;
        let app = an_app(&server, &receiver, "customer-service").await;
        let first = install(&server, &app).await;
        credentials(&webhook(&receiver, &app, 1).await);

        nats.stop().await;
        uninstall(&server, &first).await.expect(204);
        webhook(&receiver, &app, 2).await;
        let second = install(&server, &app).await;
        webhook(&receiver, &app, 3).await;

        nats.wipe().await;
        uninstall(&server, &second).await.expect(204);
        webhook(&receiver, &app, 4).await;
        install(&server, &app).await;
        credentials(&webhook(&receiver, &app, 5).await);

        let requests = receiver.requests_to(&app.webhook_path);
        assert_in_order(&requests);
        assert_eq!(requests.len(), 5, "nothing came twice");
        the_log_tells_the_same(server).await;
    }
}
