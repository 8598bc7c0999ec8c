//! Pages as a person sees them, driven in a real browser by the scripts beside this file.

use support::{Node, Program, temporary_folder};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Within a process, one browser at a time: each takes all the processors there are.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// `optare demo` with data of its own.
struct Demo {
    // Fields are dropped in this order: the demo must end before its data goes.
    _program: Program,
    data: TempDir,
    url: String,
    app_url: String,
}

impl Demo {
    async fn start() -> Self {
        let data = temporary_folder("demo");
        let folder = data.path().to_str().expect("a temporary folder has a plain name");
        let arguments = ["demo", "--data", folder, "--listen", "127.0.0.1:0", "--app-listen", "127.0.0.1:0"];
        let program = Program::optare(&arguments, "Ctrl-C ends it").await;
        let welcome = program.stdout();
        let (url, app_url) = (after(&welcome, "Optare ID is running. Open"), after(&welcome, "sign-ins runs at"));
        Self { _program: program, data, url, app_url }
    }

    async fn visit(script: &str) {
        let _turn = BROWSER.lock().await;
        let demo = Self::start().await;
        let data = demo.data.path().to_str().expect("a temporary folder has a plain name");
        let environment = [("OPTARE_URL", demo.url.as_str()), ("SAMPLE_APP_URL", &demo.app_url), ("OPTARE_DATA", data)];
        Node::run(&format!("tests/browser/{script}"), &environment).await;
    }
}

/// The word that follows `words`.
fn after(text: &str, words: &str) -> String {
    let rest = text.split_once(words).unwrap_or_else(|| panic!("{words:?} is missing in {text}")).1;
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_installs_opens_and_uninstalls_an_app_without_scripts() {
    Demo::visit("install_open_uninstall.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_from_an_app_signs_in_and_lands_in_it() {
    Demo::visit("sign_in_from_an_app.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_opens_apps_and_signs_out() {
    Demo::visit("member.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_registers_and_gets_a_second_factor_without_scripts() {
    Demo::visit("account.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_makes_and_deletes_a_client_and_a_member_does_not() {
    Demo::visit("clients.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_light_and_dark() {
    Demo::visit("accessibility.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough() {
    Demo::visit("keyboard.js").await;
}

/// Writes `docs/*.png`; without `UPDATE_SCREENSHOTS` it shows that they can be taken.
#[tokio::test(flavor = "multi_thread")]
async fn screenshots_can_be_taken() {
    Demo::visit("screenshots.js").await;
}
