//! The configuration at work: reloads by each way, refusals that change nothing, and how commands end.

use std::process::Output;

use serde_json::Value;

use crate::harness::config::{ACCOUNT, Config, quoted};
use crate::harness::{Client, PAGE, SMS, WHATSAPP, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

const TAKEN: &str = "The configuration was read again";
const REFUSED: &str = "The configuration is refused";

fn rename(config: &mut Config, old: &str, new: &str) {
    config.adapter(old).name = new.to_owned();
}

/// What a webhook path answers to a wrong signature: 403 where there is an adapter, 404 where there is none.
async fn door(world: &World, name: &str) -> u16 {
    world.raw_webhook(name, (Vec::new(), "x".into())).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_by_command_by_signal_and_by_an_edit() {
    let mut world = World::start_with(|config| config.server = vec!["watch = true".to_owned()]).await;
    world.three(ANN, BOB, CAT).await;
    assert_eq!((door(&world, "us").await, door(&world, "sms").await), (403, 404));

    // The watch may be quicker than the command: then nothing is left for the command to change.
    let said = world.reconfigure(|config| rename(config, "us", "sms"));
    assert!(said.contains("the configuration is in force"), "{said}");
    assert_eq!((door(&world, "us").await, door(&world, "sms").await), (404, 403));

    world.edit(|config| rename(config, "wa", "whatsapp"));
    let moved = || async { (door(&world, "whatsapp").await == 403).then_some(()) };
    world.daemon.eventually("the edit", moved).await;
    assert_eq!(door(&world, "wa").await, 404);

    world.reconfigure(|config| config.server = vec!["watch = false".to_owned()]);
    world.edit(|config| rename(config, "pages", "facebook"));
    // The edit alone does nothing any more.
    assert_eq!((door(&world, "pages").await, door(&world, "facebook").await), (403, 404));
    world.daemon.hangup();
    let moved = || async { (door(&world, "facebook").await == 403).then_some(()) };
    world.daemon.eventually("the signal's reload", moved).await;
    assert_eq!(door(&world, "pages").await, 404);

    // Nothing of this interrupted anybody.
    world.write(&world.sms(ANN).through("sms"), "still here").await.expect(200);
    world.sink.taken(2).await;
    let counted = || async {
        let metrics = world.daemon.metrics().await;
        let taken = metrics.value("trunkline_config_reloads_total", &[("outcome", "taken")]);
        (taken >= 4.0).then_some(metrics)
    };
    let metrics = world.daemon.eventually("four reloads", counted).await;
    assert_eq!(metrics.value("trunkline_config_reloads_total", &[("outcome", "refused")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_while_the_daemon_starts_is_not_missed() {
    let mut world = World::prepare(|config| config.server = vec!["watch = true".to_owned()]).await;
    for round in 0..5 {
        let command = world.daemon.command();
        world.daemon.launch(command);
        // Before, while or after the file is read for the first time: nobody knows.
        world.edit(|config| config.adapters[0].name = format!("us{round}"));
        world.daemon.listening().await;
        world.client = Client::new(world.daemon.address);
        let name = format!("us{round}");
        let moved = || async { (door(&world, &name).await == 403).then_some(()) };
        world.daemon.eventually("the edit", moved).await;
        world.daemon.sigterm().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_file_changes_nothing_and_says_what_check_says() {
    let mut world = World::start_with(|config| config.server = vec!["watch = true".to_owned()]).await;
    world.three(ANN, BOB, CAT).await;
    let before = world.daemon.metrics().await;
    world.edit(|config| {
        rename(config, "us", "sms");
        config.queue.push("expires = \"4h\"".to_owned());
        config.adapter("wa").settings.remove("access_token");
    });
    // The watch sees it as well.
    world.daemon.log().line(REFUSED).await;
    let path = world.daemon.config_path.display().to_string();
    let check = world.daemon.cli(&["check", "--config", &path]);
    assert_eq!(check.status.code(), Some(78));
    let reload = world.daemon.try_reload();
    assert_eq!(reload.status.code(), Some(78));
    let problems = |output: &Output| -> Vec<String> {
        String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(problems(&reload), problems(&check));
    let lines = problems(&check);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(": queue.expires: ") && lines[0].contains("expire"), "{lines:?}");
    assert!(lines[1].contains("access_token is missing"), "{lines:?}");
    let text = world.config.text();
    let line = text.lines().position(|line| line.starts_with("expires")).unwrap() + 1;
    assert!(lines[0].starts_with(&format!("{path}:{line}: ")), "{lines:?}");

    world.daemon.hangup();
    // By the watch, by the command, by the signal.
    let counted = || async {
        let metrics = world.daemon.metrics().await;
        let refused = metrics.value("trunkline_config_reloads_total", &[("outcome", "refused")]);
        (refused >= 3.0).then_some(())
    };
    world.daemon.eventually("three refusals", counted).await;
    assert_eq!((door(&world, "us").await, door(&world, "sms").await), (403, 404));
    world.write(&world.sms(ANN), "still here").await.expect(200);
    world.sink.taken(2).await;
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.value("trunkline_config_last_reload_successful", &[]), 0.0);
    let time = "trunkline_config_last_reload_success_timestamp_seconds";
    assert_eq!(metrics.value(time, &[]), before.value(time, &[]));

    // The next start would not be one.
    world.daemon.sigterm().await;
    let command = world.daemon.command();
    world.daemon.launch(command);
    assert_eq!(world.daemon.wait().await.code(), Some(78));
    assert_eq!(world.daemon.log().lines(), lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named() {
    let mut world = World::start().await;
    let elsewhere = world.folder.path().join("elsewhere");
    let said = world.reconfigure(|config| {
        config.listen = "127.0.0.1:1".to_owned();
        config.store_path = elsewhere.clone();
        config.store.push("durability = \"power\"".to_owned());
        config.store.remove(0);
        config.limits.push("concurrent_requests = 7".to_owned());
        rename(config, "us", "sms");
    });
    let line = said.lines().find(|line| line.starts_with("needs a restart: ")).expect("a line about it");
    let named: Vec<&str> = line.trim_start_matches("needs a restart: ").split(", ").collect();
    assert_eq!(named, ["server.listen", "store.path", "store.durability", "limits"]);
    // The rest of the edit is in force.
    assert_eq!((door(&world, "us").await, door(&world, "sms").await), (404, 403));
    assert!(!elsewhere.exists());
    let logged = world.daemon.log().line("with the next restart").await;
    assert!(logged.contains("store.durability"), "{logged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_proxy_address_holds_its_messages_until_it_returns() {
    let mut world = World::start().await;
    let mut talks = Vec::new();
    for number in 0..3 {
        let person = format!("whatsapp:+1555777100{number}");
        talks.push(
            world.client.conversation(&[(&person, WHATSAPP), (&format!("+1555777200{number}"), SMS)]).await,
        );
    }
    let saved = world.config.adapters.clone();
    let said = world.reconfigure(|config| config.adapters.retain(|adapter| adapter.name != "wa"));
    let line = said.lines().find(|line| line.contains(WHATSAPP)).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("3 conversations use it"), "{line}");

    let mut messages = Vec::new();
    for talk in &talks {
        let said = world.client.say(&talk.sid, "desk", "are you there?").await.expect(201);
        messages.push((talk.sid.clone(), said["sid"].as_str().unwrap().to_owned()));
    }
    world.sink.taken(3).await;
    let held = || async {
        let lanes = world.daemon.lanes().await;
        lanes.into_iter().find(|lane| lane["proxy_address"] == WHATSAPP && lane["depth"] == 3)
    };
    let lane = world.daemon.eventually("the lane without an adapter", held).await;
    assert_eq!(lane["state"], "held", "{lane}");
    // A restart does not forget them either.
    world.restart().await;
    for (talk, message) in &messages {
        let receipts = world.client.receipts(talk, message).await;
        assert!(receipts.iter().all(|receipt| receipt["status"] != "failed"), "{receipts:?}");
    }
    world.reconfigure(|config| config.adapters = saved);
    let sent = world.sink.taken(6).await;
    assert_eq!(sent.iter().filter(|sent| sent.from() == WHATSAPP).count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secrets_file_is_read_again_when_it_changes() {
    let world = World::start_with(|config| {
        let file = config.store_path.with_file_name("token");
        std::fs::write(&file, "first-token\n").unwrap();
        config.auth_token = format!("{{ file = {} }}", quoted(&file.display().to_string()));
        config.server = vec!["watch = true".to_owned()];
    })
    .await;
    let with = |token: &str| Client { password: token.to_owned(), ..world.client.clone() };
    let (first, second) = (with("first-token"), with("second-token"));
    first.get("/v1/Conversations").await.expect(200);
    second.get("/v1/Conversations").await.expect(401);
    let file = world.folder.path().join("token");
    std::fs::write(file.with_extension("new"), "second-token\n").unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    world.daemon.log().line(TAKEN).await;
    second.get("/v1/Conversations").await.expect(200);
    first.get("/v1/Conversations").await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_ends_with_its_code_and_one_clear_word() {
    let world = World::prepare(|_| {}).await;
    let path = world.daemon.config_path.display().to_string();
    let nowhere = world.folder.path().join("nowhere").display().to_string();
    let run = |arguments: &[&str]| {
        let output = world.daemon.cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked") && !said.contains("backtrace"), "{arguments:?}: {said}");
        (output.status.code().unwrap(), said)
    };
    for arguments in [&[][..], &["hologram"], &["serve", "--hologram"], &["lanes", "--json=maybe"]] {
        assert_eq!(run(arguments).0, 2, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["check", "--config", &path]] {
        assert_eq!(run(arguments).0, 0, "{arguments:?}");
    }
    for arguments in [
        &["serve", "--config", &nowhere][..],
        &["check", "--config", &nowhere],
        &["dump", "--config", &nowhere],
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, 78, "{arguments:?}: {said}");
        assert!(said.contains(&nowhere), "{said}");
    }
    for arguments in [&["reload", "--socket", &nowhere][..], &["lanes", "--socket", &nowhere]] {
        let (code, said) = run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        assert!(said.contains("no daemon answers") && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_shows_what_to_paste_where_on_one_screen() {
    let world = World::prepare(|config| {
        config.adapter("us").rate = None;
        config.adapter("us").proxies[0].lines =
            vec!["name = \"support-line\"".to_owned(), "rate = { per_second = 1, burst = 1 }".to_owned()];
        config.adapter("wa").rate = Some("{ per_minute = 30, burst = 5 }".to_owned());
        config.adapter("wa").proxies[0].lines[1] = "pair_rate = { per_minute = 10, burst = 45 }".to_owned();
        config.adapter("pages").rate = None;
    })
    .await;
    let output = world.daemon.cli(&["check", "--config", &world.daemon.config_path.display().to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!(
        "REST API at http://bridge.test/v1 for {ACCOUNT}\n\n\
         adapter us (twilio)\n  webhook  http://bridge.test/webhooks/us#rc=5&rp=all\n  \
           proxy    {SMS}  support-line  1 a second, 1 at once\n\n\
         adapter wa (whatsapp)\n  webhook  http://bridge.test/webhooks/wa\n  \
           proxy    {WHATSAPP}  30 a minute, 5 at once, to one recipient 10 a minute, 45 at once\n\n\
         adapter pages (messenger)\n  webhook  http://bridge.test/webhooks/pages\n  \
           proxy    {PAGE}  300 a second, 300 at once\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    // A secret written into the file is noted, and no error.
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.lines().all(|line| line.starts_with("note: ")), "{notes}");
    for secret in ["twilio-token-0001", "wa-access-0001", "fb-page-token-0001", "rest-token-0001"] {
        assert!(!notes.contains(secret) && !expected.contains(secret), "{notes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_shown_to_people_and_to_machines() {
    let world = World::start().await;
    let socket = world.daemon.socket.display().to_string();
    let table = world.daemon.cli(&["lanes", "--socket", &socket]);
    let table = String::from_utf8(table.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("ADAPTER") && lines[0].contains("NEXT TRY"), "{table}");
    for proxy in [SMS, WHATSAPP, PAGE] {
        assert!(lines[1..].iter().any(|line| line.contains(proxy) && line.contains("idle")), "{table}");
    }
    let json = world.daemon.cli(&["lanes", "--json", "--socket", &socket]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json, Value::Array(world.daemon.lanes().await));
}
