//! The commands of `docs/management-api.md`, run as they stand there.

use std::process::Stdio;

use support::{Server, on_both_engines, workspace};
use tokio::process::Command;

/// What stands between ```` ```sh ```` and ```` ``` ````.
fn commands(page: &str) -> String {
    page.split("```sh\n").skip(1).filter_map(|part| part.split("```").next()).collect()
}

on_both_engines! {
    async fn every_command_of_the_management_apis_page_works(engine: Engine) {
        let server = Server::start(engine).await;
        let page = workspace().join("docs/management-api.md");
        let commands = commands(&std::fs::read_to_string(page).expect("the page is there"));
        assert!(commands.matches("\napi ").count() >= 10, "the page has commands:\n{commands}");
        let owner = server.owner();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &commands])
            .env("BASE_URL", server.base_url())
            .env("API_KEY", &owner.api_key)
            .env("API_SECRET", &owner.api_secret)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("bash can be run");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{printed}", output.status);
    }
}
