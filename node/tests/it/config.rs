//! Configuration: the example files, and how the four sources are laid over each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use shoal_node::config::{
    ClientConfig, ClientFile, ConfigError, Layered, NodeConfig, NodeFile, Override,
    environment_name, known_keys,
};
use shoal_packet::{Backend, Engine};
use shoal_proto::{Epoch, NodeId, Span};
use shoal_topology::{
    Admission, FamilyKey, GenesisMember, Identity, Invitation, NetworkParameters, Role,
};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn keys_of(table: &toml::Table, prefix: &str, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => keys_of(inner, &format!("{prefix}{name}."), keys),
            _ => {
                keys.insert(format!("{prefix}{name}"));
            }
        }
    }
}

fn complete<F: Default + Serialize + DeserializeOwned>(name: &str) -> Layered<F> {
    let text = example(name);
    let mut keys = BTreeSet::new();
    keys_of(&toml::from_str(&text).unwrap(), "", &mut keys);
    assert_eq!(
        keys,
        known_keys::<F>(),
        "{name} has exactly the keys that exist"
    );
    let table = text.lines().filter(|line| line.starts_with('[')).count();
    let documented = text.lines().filter(|line| line.starts_with('#')).count();
    assert!(documented > table, "{name} is commented");
    Layered::parse(Some((Path::new(name), &text)), &[], &[]).unwrap()
}

#[test]
fn the_examples_have_every_key_with_its_default() {
    let mix = complete::<NodeFile>("mix.toml");
    assert_eq!(mix.values, NodeFile::default());
    let provider = complete::<NodeFile>("provider.toml");
    let expected = NodeFile {
        role: shoal_topology::Role::Provider,
        ..NodeFile::default()
    };
    assert_eq!(provider.values, expected);
    assert_eq!(
        complete::<ClientFile>("client.toml").values,
        ClientFile::default()
    );
    for layered in [mix, provider] {
        NodeConfig::validate(PathBuf::from("."), Path::new("."), layered).unwrap();
    }
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    for keys in [known_keys::<NodeFile>(), known_keys::<ClientFile>()] {
        let names: BTreeSet<String> = keys.iter().map(|key| environment_name(key)).collect();
        assert_eq!(names.len(), keys.len());
    }
}

fn parse(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[Override],
) -> Result<Layered<NodeFile>, ConfigError> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<_> = environment.iter().map(owned).collect();
    Layered::parse(Some((Path::new("shoal.toml"), text)), &environment, flags)
}

#[test]
fn later_sources_win() {
    let file = "family = 'file'\n";
    let environment = [("SHOAL_FAMILY", "environment")];
    let flag = [Override::flag("family", "family", "flag")];
    assert_eq!(parse("", &[], &[]).unwrap().values.family, "");
    assert_eq!(parse(file, &[], &[]).unwrap().values.family, "file");
    assert_eq!(
        parse(file, &environment, &[]).unwrap().values.family,
        "environment"
    );
    assert_eq!(
        parse(file, &environment, &flag).unwrap().values.family,
        "flag"
    );
}

#[test]
fn values_have_the_type_of_their_key() {
    let environment = [
        ("SHOAL_LISTEN", "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2"),
        ("SHOAL_CONNECTIONS_IDLE", "90s"),
        ("SHOAL_STORAGE_TOTAL", "3 MiB"),
        ("SHOAL_QUEUES_POOL_PACKETS", "7"),
        ("SHOAL_METRICS_ALLOW_PUBLIC", "true"),
        ("SHOAL_UPNP", "true"),
        ("SHOAL_LOG", "trace"),
    ];
    let values = parse("", &environment, &[]).unwrap().values;
    assert_eq!(
        values.listen,
        ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]
    );
    assert_eq!(values.connections.idle.as_micros(), 90_000_000);
    assert_eq!(values.storage.total.as_bytes(), 3 << 20);
    assert_eq!(values.queues.pool_packets, 7);
    assert!(values.metrics.allow_public);
    assert!(values.upnp);
    assert_eq!(values.log.level.as_str(), "trace");
}

#[test]
fn errors_name_their_place() {
    let cases = [
        (
            "family = ''\n\nlisen = []\n",
            "shoal.toml:3: unknown key `lisen`; did you mean `listen`?",
        ),
        (
            "[log]\nlevle = 'info'\n",
            "shoal.toml:2: unknown key `log.levle`; did you mean `log.level`?",
        ),
        (
            "[metric]\nlisten = ''\n",
            "shoal.toml:1: unknown key `metric`; did you mean `metrics`?",
        ),
        (
            "\n[log]\nlevel = 'loud'\n",
            "shoal.toml:3: unknown variant `loud`",
        ),
        (
            "[connections]\nidle = '5'\n",
            "shoal.toml:2: `5` is not a duration",
        ),
        (
            "[storage]\ntotal = '1 GB'\n",
            "shoal.toml:2: `1 GB` is not a size",
        ),
        ("family = 3\n", "shoal.toml:1: invalid type"),
        ("family = \n", "shoal.toml:1:"),
    ];
    for (text, expected) in cases {
        let error = parse(text, &[], &[]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
    let error = parse("", &[("SHOAL_QUEUES_POOL_PACKETS", "many")], &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("SHOAL_QUEUES_POOL_PACKETS: `many` is not a number")
    );
    let error = parse("", &[], &[Override::flag("log-level", "log.level", "loud")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--log-level: unknown variant"),
        "{error}"
    );
}

#[test]
fn variables_that_set_nothing_are_told_of_and_harm_nothing() {
    let environment = [
        ("SHOAL_FAMILLY", "x"),
        ("SHOAL_SERVICE_HOST", "y"),
        ("SHOAL_DIR", "z"),
    ];
    let ignored = parse("", &environment, &[]).unwrap().ignored;
    let expected = [
        ("SHOAL_FAMILLY".to_owned(), Some("SHOAL_FAMILY".to_owned())),
        ("SHOAL_SERVICE_HOST".to_owned(), None),
    ];
    assert_eq!(ignored, expected);
}

fn node(text: &str) -> Result<NodeConfig, ConfigError> {
    NodeConfig::validate(
        PathBuf::from("/state"),
        Path::new("/etc"),
        parse(text, &[], &[])?,
    )
}

#[test]
fn what_can_not_be_right_is_refused() {
    let cases = [
        ("role = 'exit'", "shoal.toml:1: unknown variant `exit`"),
        ("listen = []", "shoal.toml:1: listen: needs"),
        (
            "listen = ['/ip4/127.0.0.1']",
            "shoal.toml:1: listen: `/ip4/127.0.0.1` is neither TCP nor QUIC",
        ),
        (
            "listen = ['/ip4/127.0.0.1/tcp/1/ws']",
            "shoal.toml:1: listen: `/ip4/127.0.0.1/tcp/1/ws` is neither",
        ),
        (
            "listen = ['[::1]:4140']",
            "shoal.toml:1: listen: `[::1]:4140` is not a multiaddress: invalid multiaddr; write \
             /ip6/::1/tcp/4140 or /ip6/::1/udp/4140/quic-v1",
        ),
        (
            "advertise = ['192.0.2.1:4140']",
            "shoal.toml:1: advertise: `192.0.2.1:4140` can't be dialled: not",
        ),
        (
            "advertise = ['/ip4/127.0.0.1/tcp/0']",
            "shoal.toml:1: advertise:",
        ),
        (
            "[metrics]\nlisten = '192.0.2.1:1'",
            "shoal.toml:2: metrics.listen: 192.0.2.1:1 can be reached",
        ),
        (
            "[metrics]\nlisten = 'here'",
            "shoal.toml:2: metrics.listen: `here`",
        ),
        (
            "[queues]\nring_frames = 0",
            "shoal.toml:2: queues.ring_frames: is 0; it has to be 1 to 65536",
        ),
        (
            "[queues]\nlog_tags = 5\npool_packets = 6",
            "shoal.toml:2: queues.log_tags: is 5; it must be at least queues.pool_packets, which is 6",
        ),
        (
            "[queues]\npackets_per_second = 0",
            "shoal.toml:2: queues.packets_per_second: is 0; it has to be 1 to 1000000",
        ),
        (
            "family = 'crew'",
            "shoal.toml:1: family: is no family's public key, which `shoal family create`",
        ),
        (
            "invitation = 'soon'",
            "shoal.toml:1: invitation: is no invitation, which `shoal node invite` prints",
        ),
        (
            "[threads]\nbackend = 'quantum'",
            "shoal.toml:2: threads.backend: no back end is called `quantum`",
        ),
    ];
    for (text, expected) in cases {
        let error = node(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
    assert!(node("[metrics]\nlisten = '192.0.2.1:1'\nallow_public = true").is_ok());
    assert_eq!(node("[metrics]\nlisten = ''").unwrap().metrics, None);
    assert_eq!(node("").unwrap().engine, Engine::best());
    for backend in Backend::ALL {
        let chosen = node(&format!("[threads]\nbackend = '{backend}'"));
        assert_eq!(chosen.is_ok(), backend.is_available(), "{backend}");
        assert!(
            chosen.is_ok_and(|config| config.engine.backend() == backend)
                || !backend.is_available()
        );
    }
}

/// The proof is for one node in one network; without it nobody would take what the node says.
#[test]
fn a_family_has_to_have_signed_for_this_node_in_this_network() {
    let params = NetworkParameters::example();
    let key = FamilyKey::from_bytes(&[7; 32]);
    let (id, other) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
    let family = |text: &str| node(&format!("family = '{text}'")).unwrap();
    let proof = key.prove(&params.hash(), &id);
    let proven = family(&proof.to_string()).family_in(&params, &id);
    assert_eq!(proven.unwrap(), Some(proof));
    assert_eq!(node("").unwrap().family_in(&params, &id).unwrap(), None);
    let elsewhere = NetworkParameters {
        name: "other".to_owned(),
        ..NetworkParameters::example()
    };
    let signed_otherwise = "is signed for another node or another network";
    for (text, cause) in [
        (
            key.id().to_string(),
            "is a public key without its signature",
        ),
        (
            key.prove(&params.hash(), &other).to_string(),
            signed_otherwise,
        ),
        (
            key.prove(&elsewhere.hash(), &id).to_string(),
            signed_otherwise,
        ),
    ] {
        let error = family(&text)
            .family_in(&params, &id)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("shoal.toml:1: family: {cause}")),
            "{error}"
        );
        assert!(
            error.contains("shoal family sign --key FILE --network"),
            "{error}"
        );
        assert!(error.contains(&id.to_string()), "{error}");
    }
}

/// Where nobody has to be invited it counts for nothing, and who has a place needs it no more.
#[test]
fn an_invitation_is_for_this_node_in_this_network_and_keeps_no_member_from_starting() {
    let mut params = NetworkParameters {
        admission: Admission::Invitation,
        ..NetworkParameters::example()
    };
    let by = Identity::from_bytes(&[7; 32]);
    let (id, other) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
    let invite = |params: &NetworkParameters, id: &NodeId| {
        Invitation::sign(&by, &params.chain(), id, Epoch::new(9))
    };
    let with = |shown: Invitation| node(&format!("invitation = '{shown}'")).unwrap();
    let right = invite(&params, &id);
    let config = with(right);
    assert_eq!(config.invitation_in(&params, &id).unwrap(), Some(right));
    assert_eq!(node("").unwrap().invitation_in(&params, &id).unwrap(), None);
    for wrong in [
        invite(&params, &other),
        invite(&NetworkParameters::example(), &id),
    ] {
        let error = with(wrong).invitation_in(&params, &id).unwrap_err();
        let error = error.to_string();
        let told = "shoal.toml:1: invitation: is for another node or another network";
        assert!(error.starts_with(told), "{error}");
        assert!(
            error.contains(&format!("shoal node invite {id} --dir DIR")),
            "{error}"
        );
    }
    let open = NetworkParameters::example();
    assert_eq!(config.invitation_in(&open, &id).unwrap(), None);

    let over = |epoch: u64| config.invitation_over(&params, params.start_of(Epoch::new(epoch)));
    assert_eq!(over(9), None);
    assert!(over(10).is_some_and(|words| words.contains("up to epoch 9, which is over")));
    assert_eq!(
        config.invitation_over(&open, params.start_of(Epoch::new(10))),
        None
    );

    // A first member comes without.
    params.genesis_members = vec![GenesisMember {
        id,
        role: Role::Mix,
        addresses: Vec::new(),
        family: None,
    }];
    assert_eq!(with(right).invitation_in(&params, &id).unwrap(), None);
}

#[test]
fn a_node_that_could_not_remember_its_packets_does_not_start() {
    let mut params = NetworkParameters::example();
    assert!(node("").unwrap().check(&params).is_ok());
    params.epoch = Span::from_secs(86_400);
    let error = node("").unwrap().check(&params).unwrap_err().to_string();
    let expected = "queues: packets_per_second is 1500 and epochs last 1d, so";
    assert!(error.starts_with(expected), "{error}");
    let less = node("[queues]\npackets_per_second = 70").unwrap();
    assert!(less.check(&params).is_ok());
    let more = node("[queues]\nreplay_memory = '10 GiB'").unwrap();
    assert!(more.check(&params).is_ok());
}

/// All that can't be right is told at once, a line for each.
#[test]
fn every_value_that_can_not_be_right_is_told() {
    let text = "listen = ['/ip4/127.0.0.1', 'here']\nadvertise = ['/dns/a/tcp/1']\n\
                family = 'crew'\n[queues]\nring_frames = 0\nlog_tags = 0\n\
                [threads]\nbackend = 'quantum'\n[metrics]\nlisten = 'here'";
    let error = node(text).unwrap_err().to_string();
    let keys: Vec<&str> = error
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(
        keys,
        [
            "listen",
            "listen",
            "advertise",
            "family",
            "queues.ring_frames",
            "queues.log_tags",
            "threads.backend",
            "metrics.listen",
        ],
        "{error}"
    );
    let layered = Layered::<ClientFile>::parse(
        Some((
            Path::new("c"),
            "mailboxes = ['m']\nentry = 'x'\n[api]\nlisten = '0.0.0.0:1'\n[messagebox]\nlisten = '192.0.2.1:1'\n[metrics]\nlisten = 'here'",
        )),
        &[],
        &[],
    );
    let client = ClientConfig::validate("/state".into(), Path::new("/etc"), layered.unwrap());
    let error = client.unwrap_err().to_string();
    let starts = [
        "c:1: mailboxes: `m`",
        "c:2: entry: `x`",
        "c:4: api.listen: 0.0.0.0:1 can be reached",
        "c:6: messagebox.listen: 192.0.2.1:1 can be reached",
        "c:8: metrics.listen: `here`",
    ];
    assert_eq!(error.lines().count(), starts.len(), "{error}");
    for (line, start) in error.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn lengths_of_time_are_exact_decimals() {
    let values = parse(
        "[connections]\nidle = '1.5m'\n[storage]\nmailbox_idle = '0.5d'",
        &[],
        &[],
    );
    let values = values.unwrap().values;
    assert_eq!(values.connections.idle.as_micros(), 90_000_000);
    assert_eq!(values.storage.mailbox_idle.as_micros(), 43_200_000_000);
}

#[test]
fn paths_are_relative_to_who_names_them() {
    assert_eq!(node("").unwrap().network, Path::new("/etc/network.toml"));
    let flag = [Override::flag("network", "network", "mine.toml")];
    let layered = parse("", &[], &flag).unwrap();
    let config = NodeConfig::validate("/state".into(), Path::new("/etc"), layered).unwrap();
    assert_eq!(config.network, Path::new("mine.toml"));
}

#[test]
fn a_client_enters_by_another_than_keeps_its_mailbox() {
    let client = |text: &str| {
        let layered = Layered::<ClientFile>::parse(Some((Path::new("c"), text)), &[], &[])?;
        ClientConfig::validate("/state".into(), Path::new("/etc"), layered)
    };
    let [a, b, c] = [1, 2, 3].map(|byte| shoal_proto::NodeId::new([byte; 32]).to_string());
    assert!(client(&format!("mailboxes = ['{a}', '{c}']\nentry = '{b}'")).is_ok());
    let drawn = client("").unwrap().core;
    assert!(drawn.entry.is_none() && drawn.mailboxes.is_empty());
    for (text, start) in [
        (
            format!("mailboxes = ['{c}', '{a}']\nentry = '{a}'"),
            "c:2: entry: is a mailbox's provider too",
        ),
        (
            format!("mailboxes = ['{a}', '{a}']"),
            "c:1: mailboxes: names",
        ),
        (
            format!("mailboxes = ['{a}', '{b}', '{c}']"),
            "c:1: mailboxes: names more than two",
        ),
    ] {
        let error = client(&text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
    }
}
