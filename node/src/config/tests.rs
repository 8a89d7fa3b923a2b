use super::*;

const PEER: &str =
    "/ip4/192.0.2.1/tcp/4600/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

fn read(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let mut config = Config::default();
    config
        .set_from_file(&path, true)
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
        listens_by_default: false,
        read_needs_token: Some(false),
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
    let mut config = read(&format!(
        "roles = ['bootstrap', 'peer']\nbootstrap = ['{PEER}']\napi_listen = '127.0.0.1:1'"
    ))
    .unwrap();
    config
        .set(Options {
            api_listen: Some("[::1]:2".to_owned()),
            ..Options::default()
        })
        .unwrap();
    assert_eq!(config.api_listen, "[::1]:2".parse().unwrap());
    assert_eq!(config.roles, [Role::Bootstrap, Role::Peer]);
    assert_eq!(config.bootstrap, [PEER.parse().unwrap()]);
}

#[test]
fn reading_needs_a_token_where_others_can_connect_unless_it_is_said() {
    let needs = |text: &str| read(text).unwrap().requires_token_to_read();
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
    assert!(refused("listen = 3").contains("line 1"));
    assert!(refused("listen = ['x']").contains("listen: `x` is not a multiaddr"));
    assert!(refused("api_listen = 'localhost'").contains("is not an IP address with a port"));
    assert!(refused("bootstrap = ['/ip4/192.0.2.1/tcp/1']").contains("lacks the node's peer id"));
    assert!(refused("deny = ['example.org']").contains("deny: `example.org` is neither"));
    assert!(refused("ip_limits_exempt = ['x']").contains("is not an IP address or network"));
    assert!(refused("max_connections = 0").contains("at least 16"));
    assert!(refused("max_connections_per_ip = 0").contains("at least 1"));
    assert!(refused("relayed_bytes_per_second = 0").contains("such as 1048576"));
    assert!(refused("roles = []").contains("at least one"));
    assert!(refused("roles = ['storer']").contains("does not have the role `storer`"));
    assert!(refused("[relay]\nmax_circuit_bytes = 0").contains("relay.max_circuit_bytes"));
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
    let mut config = Config::default();
    config.set_from_file(&path, false).unwrap();
    assert_eq!(config, Config::default());
    let error = config.set_from_file(&path, true).unwrap_err();
    assert!(error.to_string().contains("cannot read the config"));
}
