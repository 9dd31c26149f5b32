use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::{
    AdoptError, ClientDirectory, DescriptorError, FamilyKey, NetworkParameters, ParameterError,
    Response, Role, SignedDescriptor, adopt_documents,
};

use crate::documents::{describe, identity};

const EPOCH: Epoch = Epoch::new(5);

fn refused(change: impl Fn(&mut shoal_topology::Descriptor)) -> DescriptorError {
    let params = NetworkParameters::example();
    let mut descriptor = describe(&params, 1, Role::Mix);
    change(&mut descriptor);
    SignedDescriptor::sign(&identity(1), &params, descriptor)
        .err()
        .expect("refused")
}

#[test]
fn each_rule_has_its_error() {
    use DescriptorError as E;
    let hour = Span::from_secs(3600);
    assert_eq!(refused(|d| d.identity = identity(2).id()), E::Identity);
    assert_eq!(refused(|d| d.expires_at = d.issued_at), E::Lifetime);
    assert_eq!(
        refused(|d| d.expires_at = d.issued_at + hour.scale(5, 1)),
        E::Lifetime
    );
    assert_eq!(
        refused(|d| d.expires_at = d.issued_at + hour.scale(3, 1)),
        E::KeyEpochs
    );
    assert_eq!(refused(|d| d.first_epoch = Epoch::new(7)), E::KeyEpochs);
    assert_eq!(
        refused(|d| d.first_epoch = Epoch::new(u64::MAX)),
        E::KeyEpochs
    );
    assert_eq!(refused(|d| d.addresses.clear()), E::AddressCount(0));
    assert_eq!(
        refused(|d| d.addresses = vec!["/ip4/1.2.3.4/tcp/1".parse().unwrap(); 9]),
        E::AddressCount(9)
    );
    assert_eq!(refused(|d| d.versions = vec![258]), E::Versions);
    assert_eq!(refused(|d| d.admission = vec![1]), E::Admission);
}

#[test]
fn dates_depend_on_the_clock() {
    let params = NetworkParameters::example();
    let descriptor = describe(&params, 1, Role::Mix);
    let (issued, expires) = (descriptor.issued_at, descriptor.expires_at);
    let signed = SignedDescriptor::sign(&identity(1), &params, descriptor).unwrap();
    let at = |now| SignedDescriptor::decode_verified(signed.encode(), &params, now).map(|_| ());
    assert_eq!(at(issued), Ok(()));
    assert_eq!(at(issued - Span::from_secs(120)), Ok(()));
    assert_eq!(
        at(issued - Span::from_secs(121)),
        Err(DescriptorError::IssuedInFuture)
    );
    assert_eq!(at(expires - Span::from_micros(1)), Ok(()));
    assert_eq!(at(expires), Err(DescriptorError::Expired));
}

#[test]
fn what_is_signed_cannot_be_changed() {
    use prost::Message;
    use shoal_proto::wire;
    let params = NetworkParameters::example();
    let descriptor = describe(&params, 1, Role::Mix);
    let now = descriptor.issued_at;
    let signed = SignedDescriptor::sign(&identity(1), &params, descriptor.clone()).unwrap();
    let back = SignedDescriptor::decode_verified(signed.encode(), &params, now).unwrap();
    assert!(back == signed && *back.descriptor() == descriptor);
    let outer = wire::SignedDescriptor::decode(signed.encode()).unwrap();
    let change = |change: &dyn Fn(&mut wire::Descriptor)| {
        let mut inner = wire::Descriptor::decode(outer.descriptor.as_slice()).unwrap();
        change(&mut inner);
        let outer = wire::SignedDescriptor {
            descriptor: inner.encode_to_vec(),
            signature: outer.signature.clone(),
        };
        SignedDescriptor::decode_verified(&outer.encode_to_vec(), &params, now)
            .err()
            .unwrap()
    };
    use DescriptorError as E;
    assert_eq!(change(&|d| d.sequence += 1), E::Signature);
    assert_eq!(change(&|d| d.role = 2), E::Signature);
    assert_eq!(change(&|d| d.role = 0), E::Role);
    assert_eq!(change(&|d| d.role = 77), E::Role);
    assert_eq!(change(&|d| d.identity = vec![1; 31]), E::Identity);
    // A point of small order can sign anything for everybody.
    assert_eq!(
        change(&|d| {
            d.identity = vec![0; 32];
            d.identity[0] = 1
        }),
        E::Identity
    );
    assert_eq!(change(&|d| d.sphinx_keys.clear()), E::Keys);
    assert_eq!(
        change(&|d| d.sphinx_keys = vec![d.sphinx_keys[0].clone(); 5]),
        E::Keys
    );
    assert_eq!(change(&|d| d.sphinx_keys[0] = vec![0; 32]), E::Keys);
    assert_eq!(change(&|d| d.sphinx_keys[0].truncate(31)), E::Keys);
    assert!(matches!(
        change(&|d| d.addresses = vec!["1.2.3.4:1".into()]),
        E::Address(_)
    ));
    assert_eq!(change(&|d| d.addresses.clear()), E::AddressCount(0));
    let nine = vec!["/ip4/1.2.3.4/tcp/1".to_owned(); 9];
    assert_eq!(
        change(&|d| d.addresses.clone_from(&nine)),
        E::AddressCount(9)
    );
    for index in 0..signed.encode().len() {
        let mut bytes = signed.encode().to_vec();
        bytes[index] ^= 0x10;
        assert!(
            SignedDescriptor::decode_verified(&bytes, &params, now).is_err(),
            "byte {index}"
        );
    }
    let longer = [signed.encode(), &[0x78, 1]].concat();
    let read = |bytes: &[u8], params| SignedDescriptor::decode_verified(bytes, params, now).err();
    assert_eq!(read(&longer, &params), Some(E::Malformed));
    assert_eq!(read(&[0; 1025], &params), Some(E::Size(1025)));
    let other = NetworkParameters {
        name: "other".to_owned(),
        ..params.clone()
    };
    assert_eq!(read(signed.encode(), &other), Some(E::Signature));
}

#[test]
fn parameters_name_the_key_at_fault() {
    let text = NetworkParameters::example().to_toml();
    let error = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        NetworkParameters::from_toml(&text.replacen(from, to, 1))
            .expect_err(to)
            .to_string()
    };
    for (from, to, part) in [
        (
            "layers = 3",
            "layers = 4",
            "layers = 4 is out of range: 1 to 3",
        ),
        ("layers = 3", "layers = 0", "layers"),
        ("layers = 3", "layer = 3", "unknown field `layer`"),
        ("drops = 0.5", "drop = 0.5", "unknown field `drop`"),
        (
            "payload_bytes = 2048",
            "payload_bytes = 4096",
            "payload_bytes = 4096",
        ),
        (
            "epoch = \"1h\"",
            "epoch = \"9s\"",
            "epoch = 9s is out of range: 10s to 7d",
        ),
        ("epoch = \"1h\"", "epoch = \"8d\"", "epoch"),
        (
            "epoch = \"1h\"",
            "epoch = \"soon\"",
            "epoch: `soon` is not a duration",
        ),
        ("epoch = \"1h\"", "epoch = 3600", "epoch"),
        (
            "mean_delay = \"100ms\"",
            "mean_delay = \"11s\"",
            "mean_delay",
        ),
        (
            "mean_delay = \"100ms\"",
            "mean_delay = \"100us\"",
            "mean_delay",
        ),
        ("loop_rate = 0.5", "loop_rate = -0.5", "loop_rate = -0.5"),
        ("loop_rate = 0.5", "loop_rate = nan", "loop_rate"),
        (
            "downlink = 9.0",
            "downlink = inf",
            "profiles.default.downlink",
        ),
        (
            "admission = \"open\"",
            "admission = \"closed\"",
            "line 21: admission: unknown variant `closed`, expected one of `open`",
        ),
        ("name = \"example\"", "name = \"No spaces\"", "name"),
        ("[profiles.default]", "[profiles.\"De fault\"]", "profiles"),
        (
            "genesis_time = 1760000400",
            "genesis_time = 253402300800",
            "genesis_time",
        ),
        (
            "genesis_time = 1760000400",
            "genesis_time = 9223372036854775807",
            "genesis_time",
        ),
        (
            "genesis_time = 1760000400",
            "",
            "missing field `genesis_time`",
        ),
    ] {
        assert!(error(from, to).contains(part), "{to}: {}", error(from, to));
    }
}

/// All that is out of range is told at once, a line for each.
#[test]
fn parameters_name_every_key_at_fault() {
    let text = NetworkParameters::example()
        .to_toml()
        .replace("layers = 3", "layers = 4")
        .replace("epoch = \"1h\"", "epoch = \"0.5s\"")
        .replace("downlink = 9.0\ncopies = 2", "downlink = -1\ncopies = 3");
    let error = NetworkParameters::from_toml(&text).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "line 9: epoch = 500ms is out of range: 10s to 7d",
            "line 13: layers = 4 is out of range: 1 to 3",
            "line 17: mean_delay = 100ms is out of range: at most a hundredth of an epoch",
            "line 45: profiles.default.downlink = -1 is out of range: 0 to 1000 per second",
            "line 46: profiles.default.copies = 3 is out of range: 1 or 2",
        ]
    );
}

#[test]
fn parameters_take_any_exact_length_of_time() {
    let text = NetworkParameters::example().to_toml();
    let text = text
        .replace("epoch = \"1h\"", "epoch = \"1.5h\"")
        .replace("mean_delay = \"100ms\"", "mean_delay = \"0.1s\"");
    let params = NetworkParameters::from_toml(&text).unwrap();
    assert_eq!(params.epoch, Span::from_secs(5400));
    assert_eq!(params.mean_delay, Span::from_millis(100));
}

#[test]
fn genesis_members_are_checked() {
    let member = |id: u32, address: &str| shoal_topology::GenesisMember {
        id: identity(id).id(),
        role: Role::Mix,
        addresses: vec![address.parse().unwrap()],
        family: None,
    };
    let mut params = NetworkParameters::example();
    params.genesis_members = vec![
        member(1, "/ip4/127.0.0.1/udp/9/quic-v1"),
        member(2, "/ip6/::1/tcp/4"),
    ];
    params.genesis_members[1].family = Some(FamilyKey::from_bytes(&[7; 32]).id());
    let back = NetworkParameters::from_toml(&params.to_toml()).unwrap();
    assert_eq!(back, params);
    let spoilt = params.to_toml().replace("/ip6/::1/tcp/4", "localhost:4");
    let error = NetworkParameters::from_toml(&spoilt)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("genesis_members[1].addresses[0]: \"localhost:4\": not of the form"),
        "{error}"
    );
    params.genesis_members[1] = member(1, "/ip6/::1/tcp/4");
    assert!(matches!(
        params.validate(),
        Err(ParameterError::DuplicateMember(_))
    ));
}

/// The hash names the network: every value is in it, comments and order are not.
#[test]
fn every_value_is_in_the_hash() {
    let base = NetworkParameters::example();
    let mut hashes = std::collections::BTreeSet::from([*base.hash().as_bytes()]);
    let member = |id| shoal_topology::GenesisMember {
        id: identity(id).id(),
        role: Role::Mix,
        addresses: Vec::new(),
        family: None,
    };
    type Change = Box<dyn Fn(&mut NetworkParameters)>;
    let mut changes: Vec<Change> = vec![
        Box::new(|p| p.name.push('x')),
        Box::new(|p| p.genesis = Time::from_micros(0)),
        Box::new(|p| p.epoch = Span::from_secs(7200)),
        Box::new(|p| p.layers = 2),
        Box::new(|p| p.payload_bytes = 1024),
        Box::new(|p| p.mean_delay = Span::from_millis(99)),
        Box::new(|p| p.loop_rate = 0.25),
        Box::new(|p| p.admission = shoal_topology::Admission::List),
        Box::new(|p| p.admission = shoal_topology::Admission::Invitation),
        Box::new(|p| p.newcomers = 0.5),
        Box::new(|p| p.work = 1),
        Box::new(|p| p.seat_age = 1),
        Box::new(|p| p.time_to_live = Span::from_secs(60)),
        Box::new(|p| p.place_life = Span::from_secs(3600)),
        Box::new(|p| p.term = 25),
        Box::new(|p| p.profiles.retain(|name, _| name != "mobile")),
        Box::new(move |p| p.genesis_members = vec![member(1)]),
        Box::new(move |p| p.genesis_members = vec![member(1), member(2)]),
        Box::new(move |p| {
            p.genesis_members = vec![member(1)];
            p.genesis_members[0].role = Role::Provider;
        }),
        Box::new(move |p| {
            p.genesis_members = vec![member(1)];
            p.genesis_members[0].family = Some(FamilyKey::from_bytes(&[8; 32]).id());
        }),
        Box::new(move |p| {
            p.genesis_members = vec![member(1)];
            p.genesis_members[0]
                .addresses
                .push("/ip4/1.2.3.4/tcp/5".parse().unwrap());
        }),
    ];
    for rate in 0..6 {
        changes.push(Box::new(move |p| {
            let profile = p.profiles.get_mut("default").unwrap();
            let rates = [
                &mut profile.real,
                &mut profile.loops,
                &mut profile.drops,
                &mut profile.mailbox,
                &mut profile.mailbox_clock,
                &mut profile.downlink,
            ];
            *rates.into_iter().nth(rate).unwrap() += 0.125;
        }));
    }
    let count = changes.len();
    for change in changes {
        let mut params = base.clone();
        change(&mut params);
        hashes.insert(*params.hash().as_bytes());
    }
    assert_eq!(hashes.len(), count + 1);
    // Stored networks must keep their name: a change here needs a new version of the encoding.
    assert_eq!(
        base.hash().to_string(),
        "A7eZNp9fWQMP32t7mhc2SRCiLiKvb3XGT6a5pfRZpE2j"
    );
}

/// Answers of different nodes, which came at this time.
fn responses(came: Time, answers: &[Vec<u8>]) -> Vec<Response> {
    let response = |(from, bytes): (u8, &Vec<u8>)| Response {
        from: NodeId::new([from; 32]),
        came,
        bytes: bytes.clone(),
    };
    (1..).zip(answers).map(response).collect()
}

/// A network with a document for each of three epochs, the answer that has those from one on, and what
/// leads to them.
struct Answering {
    net: shoal_topology::sample::Network,
    documents: Vec<std::sync::Arc<shoal_topology::Document>>,
}

impl Answering {
    fn new() -> Self {
        use rand::SeedableRng;
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(5);
        let params = NetworkParameters {
            term: 2,
            ..NetworkParameters::example()
        };
        let mut net = shoal_topology::sample::Network::new(&mut rng, params, 2, 2);
        let mut documents: Vec<std::sync::Arc<shoal_topology::Document>> = Vec::new();
        for epoch in 4..7 {
            let base = documents.last().cloned();
            let next = net.document(&mut rng, Epoch::new(epoch), base.as_deref());
            documents.push(next.unwrap());
        }
        Self { net, documents }
    }

    /// Documents by their places, with all handovers, at this time.
    fn answer(&self, places: &[usize], now: Time) -> Vec<u8> {
        use prost::Message;
        let handovers = self.documents.iter().filter_map(|it| self.net.handover(it));
        let documents = places.iter().map(|place| &self.documents[*place]);
        shoal_proto::wire::SyncResponse {
            handovers: handovers.map(|handover| handover.encode()).collect(),
            documents: documents.map(|it| self.net.certify(it).encode()).collect(),
            now_us: now.as_micros(),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn adopt(&self, now: Time, answers: &[Vec<u8>]) -> Result<ClientDirectory, AdoptError> {
        adopt_documents(&self.net.params, &responses(now, answers), now)
    }
}

#[test]
fn one_signed_answer_is_enough_and_clocks_are_set_by_several() {
    let all = Answering::new();
    let now = all.net.params.start_of(EPOCH) + Span::from_secs(3500);
    let ahead = |places: &[usize], micros| all.answer(places, now + Span::from_micros(micros));
    let adopted = all.adopt(now, &[ahead(&[0, 1, 2], 0)]).unwrap();
    assert_eq!(adopted.in_force, EPOCH);
    assert_eq!(adopted.documents.len(), 3);
    assert_eq!(adopted.documents[&EPOCH].hash(), all.documents[1].hash());
    assert_eq!(adopted.trust.since().number(), 2);
    // Who lags takes nothing away, and is not counted among those who name the one in force.
    let answers = [ahead(&[0], 5), ahead(&[1, 2], 1), ahead(&[1], 9)];
    let adopted = all.adopt(now, &answers).unwrap();
    assert_eq!(adopted.named_by.len(), 2);
    assert_eq!(adopted.clock_offset_us, 5);
    // Who can't be read is passed over, and a minority of wrong clocks moves nothing.
    let answers = [
        vec![0xff; 9],
        ahead(&[1], 7),
        ahead(&[1], 1 << 60),
        ahead(&[1], 6),
    ];
    let adopt = |answers: &[Vec<u8>]| all.adopt(now, answers);
    assert_eq!(adopt(&answers).unwrap().clock_offset_us, 7);
    // Of two that differ, neither is believed more than the own clock; two that agree are.
    let answers = |one, other| [ahead(&[1], one), ahead(&[1], other)];
    let (less, more) = (40_000_000, 90_000_000);
    assert_eq!(adopt(&answers(7, more)).unwrap().clock_offset_us, 7);
    assert_eq!(
        adopt(&answers(less, more)).unwrap().clock_offset_us,
        40_000_000
    );
    assert_eq!(adopt(&[]).unwrap_err(), AdoptError::NoAnswers);
    assert_eq!(
        adopt(&[vec![0xff; 9]]).unwrap_err(),
        AdoptError::Unreadable(1)
    );
    // An answer that waited to be looked at moves no clock.
    let early = responses(now, &[ahead(&[1], 3)]);
    let adopted = adopt_documents(&all.net.params, &early, now + Span::from_secs(2)).unwrap();
    assert_eq!(adopted.clock_offset_us, 3);
    let later = now + all.net.params.epoch.scale(7, 1);
    let old = all.adopt(later, &[all.answer(&[1, 2], later)]);
    assert!(matches!(old.unwrap_err(), AdoptError::NoDocument { .. }));
}

#[test]
fn what_is_not_signed_by_the_seats_is_not_taken() {
    use prost::Message;
    use shoal_proto::wire;
    use shoal_topology::DocumentError;
    let all = Answering::new();
    let now = all.net.params.start_of(EPOCH) + Span::from_secs(1);
    let whole = all.answer(&[0, 1], now);
    let changed = |change: &dyn Fn(&mut wire::SyncResponse)| {
        let mut answer = wire::SyncResponse::decode(whole.as_slice()).unwrap();
        change(&mut answer);
        match all.adopt(now, &[answer.encode_to_vec()]) {
            Ok(adopted) => Ok(adopted.in_force.number()),
            Err(AdoptError::NoDocument { last, .. }) => Err(last.unwrap()),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(changed(&|_| {}), Ok(5));
    // More entries than there can be, each of which takes more memory than bytes.
    let many = wire::SyncResponse {
        documents: vec![Vec::new(); 1000],
        ..Default::default()
    };
    let refused = all.adopt(now, &[many.encode_to_vec()]).unwrap_err();
    assert_eq!(refused, AdoptError::Unreadable(1));
    let certified = |change: &dyn Fn(&mut wire::CertifiedDocument)| {
        changed(&|answer: &mut wire::SyncResponse| {
            let bytes = answer.documents.last_mut().unwrap();
            let mut certified = wire::CertifiedDocument::decode(bytes.as_slice()).unwrap();
            change(&mut certified);
            *bytes = certified.encode_to_vec();
            answer.documents.remove(0);
        })
    };
    assert_eq!(certified(&|_| {}), Ok(5));
    let unsigned = certified(&|it| it.certificate.clear());
    assert!(matches!(unsigned, Err(DocumentError::Certificate(_))));
    // Seats 0 to 7 have signed: six are needed, and each counts.
    let signature = 66;
    for (signatures, counts) in [(6, true), (5, false)] {
        let few = certified(&|it| {
            it.certificate.truncate(46 + signatures * signature);
            it.certificate[45] = u8::try_from(signatures).unwrap();
        });
        assert_eq!(few.is_ok(), counts, "{few:?}");
    }
    let forged = certified(&|it| *it.certificate.last_mut().unwrap() ^= 1);
    assert!(matches!(forged, Err(DocumentError::Certificate(_))));
    // The layers are what was signed.
    let bent = certified(&|it| {
        let mut document = wire::Document::decode(it.document.as_slice()).unwrap();
        let mut mixes = document
            .members
            .iter_mut()
            .filter(|member| crate::layer_of(member) > 0);
        crate::change_extract(mixes.next().unwrap(), |extract| extract.layer += 1);
        let contents = shoal_topology::contents_hash(&document).to_vec();
        document.header.as_mut().unwrap().members = contents;
        it.document = document.encode_to_vec();
    });
    assert_eq!(bent, Err(DocumentError::NotAsNamed));
}
