//! The provider as the client libraries of others meet it: Node's openid-client and oauth4webapi, Python's Authlib,
//! Rust's openidconnect, our own, and the guides' examples. What they refuse, users' programs would refuse.

mod fuzz;
mod openidconnect_rs;
mod world;

use support::steps::{text, the_log_tells_the_same};
use support::{Engine, Node, Python, Server, on_both_engines, workspace};
use world::World;

/// Runs a program of this folder against a server of its own; it ends with an error if a scenario does not work.
async fn scenarios(engine: Engine, script: &str) {
    let server = Server::start(engine).await;
    let world = World::set_up(&server).await;
    let environment = world.value.to_string();
    let environment = [("OIDC_WORLD", environment.as_str()), ("NODE_OPTIONS", "--test-reporter=spec")];
    let script = format!("tests/oidc/{script}");
    if script.ends_with(".py") {
        Python::run(&script, "tests/oidc/requirements.txt", &environment).await;
    } else {
        for package in ["axios", "jose", "oauth4webapi", "openid-client"] {
            let is_there = workspace().join("tests/oidc/node_modules").join(package).is_dir();
            assert!(is_there, "the npm package {package} is missing: run `npm ci` in tests/oidc");
        }
        Node::run(&script, &environment).await;
    }
    the_log_tells_the_same(server).await;
}

on_both_engines! {
    async fn openid_client(engine: Engine) {
        scenarios(engine, "openid_client.js").await;
    }

    async fn oauth4webapi(engine: Engine) {
        scenarios(engine, "oauth4webapi.js").await;
    }

    async fn the_guides(engine: Engine) {
        scenarios(engine, "guides.js").await;
    }

    async fn authlib(engine: Engine) {
        scenarios(engine, "authlib_client.py").await;
    }

    async fn our_own_client(engine: Engine) {
        assert_our_client_is_built();
        scenarios(engine, "optare_client.js").await;
    }

    async fn our_own_client_in_a_browser(engine: Engine) {
        assert_our_client_is_built();
        let server = Server::start(engine).await;
        let world = World::set_up(&server).await;
        let (optare, app, all) = (server.base_url(), text(&world.value, "single_page"), world.value.to_string());
        let environment = [("OPTARE_URL", optare.as_str()), ("SAMPLE_APP_URL", &app), ("OIDC_WORLD", &all)];
        Node::run("tests/browser/single_page_app.js", &environment).await;
        the_log_tells_the_same(server).await;
    }
}

fn assert_our_client_is_built() {
    let built = workspace().join("libs/apps/dist/src/optare-client.js");
    assert!(built.is_file(), "{} is missing: run `npm ci && npm run build` in libs/apps", built.display());
}
