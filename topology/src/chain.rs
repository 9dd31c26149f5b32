//! What ties documents to what a network started with: certificates, and handovers from the seats of one
//! term to those of the next. Who follows every handover from the network's parameters on, and skips
//! none, knows whose signatures count now, and asks nobody whom to believe.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, wire};

use crate::agreement::{Certificate, Height, MAX_MESSAGE_BYTES, MAX_SEATS, Seats, SeatsError};
use crate::delta::Body;
use crate::header::DocumentHeader;
use crate::rules::Rules;
use crate::{Document, DocumentError, NetworkParameters, SuccessionError, Successor, Terms};

/// Most bytes of a handover.
const MAX_HANDOVER_BYTES: usize = 1024 + MAX_MESSAGE_BYTES + 96 * MAX_SEATS;

/// A document that more than two thirds of the seats have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The document.
    pub document: Arc<Document>,
    /// Who signed it.
    pub certificate: Certificate,
}

impl Certified {
    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::CertifiedDocument {
            document: self.document.encode().to_vec(),
            delta: Vec::new(),
            certificate: self.certificate.encode(),
        }
        .encode_to_vec()
    }

    /// The encoding for who has the document before.
    pub(crate) fn encode_as(&self, delta: &[u8]) -> Vec<u8> {
        wire::CertifiedDocument {
            document: Vec::new(),
            delta: delta.to_vec(),
            certificate: self.certificate.encode(),
        }
        .encode_to_vec()
    }

    /// Reads an encoding from where it can be trusted: nobody's signature of the whole is checked.
    pub(crate) fn restore(bytes: &[u8], rules: &Rules) -> Result<Self, DocumentError> {
        let (document, certificate) = read(bytes)?;
        Ok(Self {
            document: Arc::new(document.open(rules, |_| None)?),
            certificate,
        })
    }
}

/// The height of an encoded document with its certificate.
pub(crate) fn height_of(bytes: &[u8]) -> Option<Height> {
    let (document, _) = read(bytes).ok()?;
    document.header().ok().map(|header| header.height)
}

fn read(bytes: &[u8]) -> Result<(Body, Certificate), DocumentError> {
    let wire = wire::CertifiedDocument::decode(bytes).map_err(|_| DocumentError::Malformed)?;
    if wire.encoded_len() != bytes.len() {
        return Err(DocumentError::Malformed);
    }
    let certificate = Certificate::decode(&wire.certificate);
    let certificate = certificate.map_err(DocumentError::Certificate)?;
    let body = Body::of(wire.document, wire.delta).ok_or(DocumentError::Malformed)?;
    Ok((body, certificate))
}

/// The head of the last document before new seats, who signed it, and the new seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The document's.
    pub header: DocumentHeader,
    /// Of the seats before.
    pub certificate: Certificate,
    /// Who decides from the next height on.
    pub seats: Seats,
}

impl Handover {
    /// The encoding: about 160 bytes for each seat.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Handover {
            header: self.header.encode(),
            certificate: self.certificate.encode(),
            seats: self.seats.encode(),
        }
        .encode_to_vec()
    }

    /// Reads an encoding, and checks nobody's signature.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub(crate) fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_HANDOVER_BYTES {
            return Err(DocumentError::Size(bytes.len()));
        }
        let wire = wire::Handover::decode(bytes).map_err(|_| DocumentError::Malformed)?;
        if wire.encode_to_vec() != bytes {
            return Err(DocumentError::Malformed);
        }
        let certificate = Certificate::decode(&wire.certificate);
        let seats = Seats::decode(rules.network, &wire.seats);
        Ok(Self {
            header: DocumentHeader::decode(&wire.header)?,
            certificate: certificate.map_err(DocumentError::Certificate)?,
            seats: seats.map_err(DocumentError::Seats)?,
        })
    }
}

/// A document's place and its hash: enough to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place in the chain.
    pub height: Height,
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// Its hash.
    pub hash: DocumentHash,
}

impl Mark {
    /// That of a document.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        Self {
            height: document.height(),
            epoch: document.epoch(),
            hash: *document.hash(),
        }
    }
}

/// A document that seats were seen to have signed: itself, or in a handover its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The document.
    pub mark: Mark,
    /// The hash of the one before.
    pub previous: DocumentHash,
}

impl Link {
    /// Of a head whose hash the certificate has.
    fn of(header: &DocumentHeader, certificate: &Certificate) -> Self {
        Self {
            mark: Mark {
                height: header.height,
                epoch: header.epoch,
                hash: certificate.document,
            },
            previous: header.previous,
        }
    }
}

/// Whose signatures count: the seats, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    network: NetworkHash,
    terms: Terms,
    /// Of the heights after `since`, up to the next handover.
    seats: Seats,
    since: Height,
    /// Who decided up to there: what they said can still count against them.
    before: Option<Seats>,
}

impl Trust {
    /// That of who knows a network's parameters and nothing else.
    ///
    /// # Errors
    /// The network starts with nobody, or with more than [`MAX_SEATS`].
    pub fn first(params: &NetworkParameters) -> Result<Self, SeatsError> {
        Self::first_by(&Rules::of(params))
    }

    pub(crate) fn first_by(rules: &Rules) -> Result<Self, SeatsError> {
        let (seats, since) = match &rules.params.succession {
            Some(succession) => (succession.root()?, succession.height),
            None => (
                Seats::first(rules.network, rules.genesis().copied())?,
                Height::default(),
            ),
        };
        Ok(Self {
            network: rules.network,
            terms: rules.terms.clone(),
            seats,
            since,
            before: None,
        })
    }

    /// That of who has followed the handovers up to this height before.
    pub(crate) fn again(params: &NetworkParameters, since: Height, seats: Seats) -> Self {
        Self {
            network: params.chain(),
            terms: Terms::of(params),
            seats,
            since,
            before: None,
        }
    }

    /// The height of the last handover that was followed; 0 for none.
    #[must_use]
    pub const fn since(&self) -> Height {
        self.since
    }

    /// The seats that decide from there on.
    #[must_use]
    pub const fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The seats of the term before; none in the first.
    #[must_use]
    pub const fn before(&self) -> Option<&Seats> {
        self.before.as_ref()
    }

    /// The seats that decided or will decide a height, if they are those of this term or of the one before.
    pub(crate) fn seats_of(&self, height: Height) -> Option<&Seats> {
        if self.decides(height) {
            return Some(&self.seats);
        }
        let began = self.terms.since(self.since);
        let before = self.before.as_ref();
        before.filter(|_| began < height && height <= self.since)
    }

    /// The seats with this hash, if they are those of this term or of the one before.
    #[must_use]
    pub fn seats_named(&self, hash: &[u8; 32]) -> Option<&Seats> {
        let all = [Some(&self.seats), self.before.as_ref()];
        all.into_iter()
            .flatten()
            .find(|seats| seats.hash() == *hash)
    }

    /// The height after whose document others sit: the first, the last of each term, and that from which a
    /// recovery goes on.
    #[must_use]
    pub fn until(&self) -> Height {
        self.terms.until(self.since.next())
    }

    /// Whether the seats that are known decide this height.
    fn decides(&self, height: Height) -> bool {
        self.since < height && height <= self.until()
    }

    /// Whether a certificate shows that the seats have decided for this header.
    fn check(
        &self,
        rules: &Rules,
        header: &DocumentHeader,
        certificate: &Certificate,
    ) -> Result<(), DocumentError> {
        if !self.decides(header.height) {
            return Err(DocumentError::Handover(self.until()));
        }
        let of_it = certificate.height == header.height;
        if !of_it || certificate.document != header.hash(rules) {
            return Err(DocumentError::NotAsNamed);
        }
        let verified = certificate.verify(&self.seats);
        verified.map_err(DocumentError::Certificate)
    }

    /// Follows a handover, which has to be the next one.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    fn follow(&mut self, rules: &Rules, handover: &Handover) -> Result<(), DocumentError> {
        let height = handover.header.height;
        if !self.decides(height) {
            return Err(DocumentError::Handover(self.until()));
        }
        self.check(rules, &handover.header, &handover.certificate)?;
        // By a recovery the file says who sits, and not what was agreed on.
        if let Some(recovery) = rules.recovery(height) {
            let from_it = handover.certificate.document == recovery.document;
            if !from_it || !recovery.is_of(&handover.seats) {
                return Err(DocumentError::Handover(height));
            }
        } else if height != self.until() || handover.seats.hash() != handover.header.seats {
            return Err(DocumentError::Recovered(height));
        }
        self.go_on(height, handover.seats.clone());
        Ok(())
    }

    /// The seats after a height that is not above the last known one, from the own disk: that has the last word. What
    /// those before said can still count against them.
    pub(crate) fn was_before(&mut self, height: Height, seats: Seats) {
        if height < self.since {
            self.before = Some(seats);
        } else {
            self.seats = seats;
        }
    }

    /// The seats after this height are known to be these.
    pub(crate) fn go_on(&mut self, height: Height, seats: Seats) {
        self.since = height;
        self.before = Some(std::mem::replace(&mut self.seats, seats));
    }
}

/// What follows from an answer to the question for the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Whose signatures count now.
    pub trust: Trust,
    /// The handovers that were followed, encoded, oldest first.
    pub handovers: Vec<(Height, Arc<[u8]>)>,
    /// Who decides the heights after each of these, up to the next: where it began, and the handovers.
    pub seats: BTreeMap<Height, Seats>,
    /// The documents that were verified, oldest first.
    pub documents: Vec<Certified>,
    /// All that was signed, of handovers and documents.
    pub links: Vec<Link>,
    /// The hashes of documents whose seats are known no more. Who has such a document knows it by that.
    pub passed: Vec<DocumentHash>,
    /// Those of them that could be read. Nobody's signature was verified: only who knows the hash knows one.
    pub unsigned: Vec<Arc<Document>>,
}

impl Followed {
    /// A file that follows on the network's, which more than two thirds of seats have signed that are known now.
    /// None for no file.
    ///
    /// # Errors
    /// [`SuccessionError`].
    pub(crate) fn successor(
        &self,
        rules: &Rules,
        before: Option<Seats>,
        text: &[u8],
    ) -> Result<Option<Successor>, SuccessionError> {
        if text.is_empty() {
            return Ok(None);
        }
        let successor = Successor::read(text, &rules.params)?;
        let root = self.seats.get(&successor.succession().height);
        successor.check_root(self.trust.since(), root.map(Seats::hash))?;
        // The first are those who sit now: of them is told.
        let seats = [self.trust.seats()].into_iter();
        let seats = seats.chain(self.seats.values()).chain(&before);
        successor.check_signed_by_one(seats)?;
        Ok(Some(successor))
    }
}

/// Follows handovers, and verifies documents where the seats that decide them are known. Each is as it
/// was sent, and oldest first. Takes about 50 µs for each signature.
///
/// What comes after an error is not looked at: what was right before it counts. `known` are documents that
/// others may be changes of, and that nothing may contradict.
pub(crate) fn follow(
    rules: &Rules,
    trust: Trust,
    handovers: &[Vec<u8>],
    documents: &[Vec<u8>],
    known: &[Arc<Document>],
) -> (Followed, Option<DocumentError>) {
    let mut followed = Followed {
        seats: BTreeMap::from([(trust.since(), trust.seats().clone())]),
        trust,
        handovers: Vec::new(),
        documents: Vec::new(),
        links: Vec::new(),
        passed: Vec::new(),
        unsigned: Vec::new(),
    };
    let error = try_follow(rules, &mut followed, handovers, documents, known).err();
    (followed, error)
}

fn try_follow(
    rules: &Rules,
    followed: &mut Followed,
    handovers: &[Vec<u8>],
    documents: &[Vec<u8>],
    known: &[Arc<Document>],
) -> Result<(), DocumentError> {
    let decode = |bytes| Handover::decode(bytes, rules).map(|it| (it, bytes));
    let handovers = handovers.iter().map(Vec::as_slice);
    let mut handovers = handovers.map(decode).peekable();
    // What others may be changes of. Nobody needs to have signed it for that: the hash of what comes out was.
    let mut bases: Vec<Arc<Document>> = known.to_vec();
    for bytes in documents {
        let (document, certificate) = read(bytes)?;
        let header = document.header()?;
        let height = header.height;
        // Also one in the middle of a term: by a recovery, which makes the document one of other seats.
        let before = |it: &(Handover, _)| it.0.header.height < height;
        while let Some(handover) = handovers.next_if(|it| it.as_ref().map_or(true, before)) {
            take(rules, followed, handover?)?;
        }
        // One of a term that is over is only of use to who has followed it.
        if height <= followed.trust.since {
            followed.passed.push(header.hash(rules));
            let opened = open(rules, &document, &bases).ok();
            followed.unsigned.extend(opened.clone());
            bases.extend(opened);
            continue;
        }
        followed.trust.check(rules, &header, &certificate)?;
        check_against(known, &header, &certificate.document)?;
        let document = open(rules, &document, &bases)?;
        bases.push(Arc::clone(&document));
        followed.links.push(Link::of(&header, &certificate));
        followed.documents.push(Certified {
            document,
            certificate,
        });
    }
    handovers.try_for_each(|handover| take(rules, followed, handover?))
}

fn open(
    rules: &Rules,
    body: &Body,
    bases: &[Arc<Document>],
) -> Result<Arc<Document>, DocumentError> {
    let find = |hash: &DocumentHash| bases.iter().find(|it| it.hash() == hash);
    let document = body.open(rules, |hash| find(hash).map(AsRef::as_ref));
    document.map(Arc::new)
}

/// Whether what was signed goes together with what is known.
fn check_against(
    known: &[Arc<Document>],
    header: &DocumentHeader,
    hash: &DocumentHash,
) -> Result<(), DocumentError> {
    for document in known {
        let named = if document.height() == header.height {
            hash
        } else if document.height().next() == header.height {
            &header.previous
        } else {
            continue;
        };
        if named != document.hash() {
            return Err(DocumentError::Contradiction {
                epoch: document.epoch(),
                seen: [*document.hash(), *named],
            });
        }
    }
    Ok(())
}

fn take(
    rules: &Rules,
    followed: &mut Followed,
    (handover, bytes): (Handover, &[u8]),
) -> Result<(), DocumentError> {
    // Who asks two nodes hears of it twice.
    if handover.header.height <= followed.trust.since {
        return Ok(());
    }
    followed.trust.follow(rules, &handover)?;
    let height = handover.header.height;
    let link = Link::of(&handover.header, &handover.certificate);
    followed.links.push(link);
    followed.handovers.push((height, bytes.into()));
    followed.seats.insert(height, handover.seats);
    Ok(())
}
