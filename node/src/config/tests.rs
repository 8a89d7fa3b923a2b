use std::fs;

use clap::Parser;

use super::*;

const PEER: &str =
    "/ip4/192.0.2.1/tcp/4600/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

fn read(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text).unwrap();
    Config::read(&path).map_err(|error| format!("{error:#}"))
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags<Config>,
}

/// The options of a file that says `text`, after flags.
fn changed(text: &str, flags: &str) -> Result<Config, String> {
    let mut config = read(text)?;
    let words = ["run"].into_iter().chain(flags.split_whitespace());
    let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
    config
        .change(&command.flags)
        .map_err(|error| format!("{error:#}"))?;
    Ok(config)
}

#[test]
fn the_template_says_the_defaults() {
    assert_eq!(read(TEMPLATE), Ok(Config::default()));
    let uncommented: String = (TEMPLATE.lines())
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" = ") || line.starts_with(' ') || line.starts_with(']'))
        .map(|line| format!("{line}\n"))
        .collect();
    let expected = Config {
        api: ApiOptions {
            read_needs_token: Some(false),
        },
        max_connections: Some(512),
        max_connections_per_ip: Some(32),
        ..Config::default()
    };
    let mut said = read(&uncommented).unwrap();
    // An example: without it the node is in the public network.
    let key = said.private_network.take().unwrap();
    assert!(key.is_absolute() && key.ends_with("swarm.key"), "{key:?}");
    assert!(said.max_disk.take().is_some(), "an example, too");
    assert!(said.mark_dir.take().is_some(), "and this");
    assert_eq!(said, expected, "{uncommented}");
}

#[test]
fn a_flag_wins_over_the_file() {
    let file = format!(
        "roles = ['bootstrap', 'peer']\nbootstrap = ['{PEER}']\napi_listen = '127.0.0.1:1'\n\
         deny = ['192.0.2.0/24', '::1']\nmdns = true\nmin_peers = 7\nmax_disk = '20GiB'"
    );
    let expected = Config {
        api_listen: "[::1]:2".parse().unwrap(),
        deny: vec![AccessRule::read("192.0.2.1").unwrap()],
        ..read(&file).unwrap()
    };
    assert_eq!(expected.roles, [Role::Bootstrap, Role::Peer]);
    assert_eq!(expected.bootstrap, [PEER.parse().unwrap()]);
    assert!(expected.mdns && expected.min_peers == 7);
    let config = changed(&file, "--api-listen [::1]:2 --deny 192.0.2.1");
    assert_eq!(config, Ok(expected));

    let config = changed("", "--mdns --role peer,relay --max-disk 1GiB --min-peers 0").unwrap();
    assert_eq!(config.roles, [Role::Peer, Role::Relay]);
    let said = (config.mdns, config.max_disk, config.min_peers);
    assert_eq!(said, (true, Some(Size(1 << 30)), 0));
}

#[test]
fn an_error_in_a_flag_names_the_flag_and_the_remedy() {
    let refused = |flags: &str| changed("", flags).unwrap_err();
    for (flags, flag, remedy) in [
        (
            "--listen 127.0.0.1:4600",
            "--listen",
            "not a multiaddr such as",
        ),
        (
            "--bootstrap /ip4/192.0.2.1/tcp/1",
            "--bootstrap",
            "copy the whole address",
        ),
        ("--role king", "--role", "there are: peer"),
        ("--max-disk lots", "--max-disk", "a size such as"),
        ("--max-disk 1MB", "--max-disk", "at least 16 MiB"),
        ("--max-connections 1", "--max-connections", "at least 16"),
        (
            "--max-connections-per-ip 0",
            "--max-connections-per-ip",
            "at least 1",
        ),
        ("--min-peers 65", "--min-peers", "at most 64"),
        ("--allow everybody", "--allow", "nor an IP address"),
        ("--api-listen here", "--api-listen", "with a port, such as"),
    ] {
        let said = refused(flags);
        assert!(
            said.contains(flag) && said.contains(remedy),
            "{flags}: {said}"
        );
    }
}

#[test]
fn reading_needs_a_token_where_others_can_connect_unless_it_is_said() {
    let needs = |text: &str| {
        let config = read(text).unwrap();
        config.api.needs_token_to_read(config.api_listen.ip())
    };
    assert!(!needs(""));
    assert!(!needs("api_listen = '[::1]:1'"));
    assert!(needs("api_listen = '192.0.2.1:1'"));
    assert!(needs("api_listen = '0.0.0.0:1'"));
    assert!(needs("[api]\nread_needs_token = true"));
    assert!(!needs(
        "api_listen = '0.0.0.0:1'\napi.read_needs_token = false"
    ));
    assert!(read("[api]\nread_needs_tokens = true").is_err());
}

#[test]
fn an_error_in_the_file_names_the_file_the_option_and_the_remedy() {
    let refused = |text: &str| read(text).unwrap_err();
    let unknown = refused("listen = []\nlistn = []");
    assert!(
        unknown.contains("config.toml") && unknown.contains("listn"),
        "{unknown}"
    );
    assert!(unknown.contains("line 2"), "{unknown}");
    assert!(unknown.ends_with("did you mean `listen`?"), "{unknown}");
    assert!(refused("relay.max_circuit = 1").contains("did you mean `max_circuits`?"));
    assert!(refused("listen = 3").contains("line 1"));
    let address = refused("\nlisten = [\n'/ip4/192.0.2.1/tcp/1',\n'x']");
    assert!(address.contains("`x` is not a multiaddr"), "{address}");
    assert!(address.contains("line 4"), "{address}");
    assert!(refused("api_listen = 'localhost'").contains("is not an IP address with a port"));
    assert!(refused("bootstrap = ['/ip4/192.0.2.1/tcp/1']").contains("lacks the node's peer id"));
    assert!(refused("deny = ['example.org']").contains("`example.org` is neither"));
    assert!(refused("ip_limits_exempt = ['x']").contains("is not an IP address or network"));
    let few = refused("\nmax_connections = 0");
    assert!(
        few.contains("config.toml, line 2: max_connections"),
        "{few}"
    );
    assert!(few.contains("at least 16"), "{few}");
    assert!(refused("offer_percent = 101").contains("offer_percent: 101"));
    assert!(refused("max_disk = 20").contains("a size such as"));
    assert!(refused("max_connections_per_ip = 0").contains("at least 1"));
    assert!(refused("relayed_bytes_per_second = 0").contains("such as 1048576"));
    assert!(refused("roles = []").contains("at least one"));
    assert!(refused("roles = ['storer']").contains("does not have the role `storer`"));
    assert!(refused("[relay]\nmax_circuit_bytes = 0").contains("line 2: relay.max_circuit_bytes"));
    assert!(refused("roles = ['king']").contains("is no role"));
    // A table is no list of its values.
    assert!(refused("api = [true]").contains("line 1"));
    assert!(refused("relay = [1, 2]").contains("line 1"));
}

#[test]
fn a_network_key_is_looked_for_beside_the_file_that_names_it() {
    let config = read("private_network = 'a/b.key'").unwrap();
    let file = config.private_network.unwrap();
    assert!(file.is_absolute() && file.ends_with("a/b.key"), "{file:?}");
    let config = read("private_network = '/x/y.key'").unwrap();
    assert_eq!(config.private_network, Some("/x/y.key".into()));
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    assert_eq!(Config::read_if_there(&path).unwrap(), Config::default());
    let error = Config::read(&path).unwrap_err();
    assert!(error.to_string().contains("cannot read the config"));
}
