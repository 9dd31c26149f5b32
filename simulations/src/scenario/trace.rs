//! Traces: files with a line for each message. The header rules what the columns are.

use super::files::lines;
use super::{Run, error::Problems};

/// The latest time of a message, in seconds.
const LATEST: f64 = 1e9;
/// What a header may call its columns.
const NAMES: &str = "time (or time_s, in seconds) or time_ms, sender, and receiver if you like";
/// The most of a field that an error repeats.
const SHOWN: usize = 40;

/// A message of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceMessage {
    /// Seconds after the start of the run.
    pub time: f64,
    /// The sender, by its number in the class.
    pub sender: u32,
    /// The receiver, by its number among all clients; without it, one is drawn.
    pub receiver: Option<u32>,
    /// The line of the file, from 1.
    pub line: u32,
}

/// The messages of a trace, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The messages.
    pub messages: Vec<TraceMessage>,
    /// Whether a first line named the columns.
    pub has_header: bool,
}

/// The places of the columns.
#[derive(Clone, Copy)]
struct Columns {
    time: usize,
    /// Seconds of its unit, as a divisor: 1, or 1000 for milliseconds.
    per_second: f64,
    sender: usize,
    receiver: Option<usize>,
    count: usize,
}

/// What a file without a header is read as.
const UNNAMED: Columns = Columns {
    time: 0,
    per_second: 1.0,
    sender: 1,
    receiver: Some(2),
    count: 3,
};

/// `time,sender` or `time,sender,receiver` per line, after a line that says which.
pub(super) fn parse(text: &str) -> Result<Trace, String> {
    let mut lines = lines(text).peekable();
    let header = lines.next_if(|(_, line)| is_header(line));
    let columns = match header {
        Some((number, line)) => header_columns(line)
            .map_err(|why| format!("line {number}: {why}: a header names {NAMES}"))?,
        None => UNNAMED,
    };
    let mut messages: Vec<TraceMessage> = Vec::new();
    for (number, line) in lines {
        let message =
            message(line, number, columns).map_err(|why| format!("line {number}: {why}"))?;
        if messages.last().is_some_and(|last| last.time > message.time) {
            return Err(format!(
                "line {number}: earlier than the line before: a trace is in order of time"
            ));
        }
        messages.push(message);
    }
    Ok(Trace {
        messages,
        has_header: header.is_some(),
    })
}

/// Whether a line is made of names: its first field is no number.
fn is_header(line: &str) -> bool {
    let first = line.split(',').next().unwrap_or_default().trim();
    first.starts_with(|c: char| c.is_ascii_alphabetic()) && first.parse::<f64>().is_err()
}

fn header_columns(line: &str) -> Result<Columns, String> {
    let (mut time, mut sender, mut receiver) = (None, None, None);
    let mut per_second = 1.0;
    let names: Vec<&str> = line.split(',').map(str::trim).collect();
    for (place, name) in names.iter().enumerate() {
        let known = match *name {
            "time" | "time_s" => &mut time,
            "time_ms" => {
                per_second = 1000.0;
                &mut time
            }
            "sender" => &mut sender,
            "receiver" => &mut receiver,
            other => return Err(format!("{} is no column of a trace", shown(other))),
        };
        if known.replace(place).is_some() {
            return Err(format!("{} is named twice", shown(name)));
        }
    }
    let missing = |what: &str| format!("no column is called {what}");
    Ok(Columns {
        time: time.ok_or_else(|| missing("time"))?,
        per_second,
        sender: sender.ok_or_else(|| missing("sender"))?,
        receiver,
        count: names.len(),
    })
}

fn message(line: &str, number: usize, columns: Columns) -> Result<TraceMessage, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    // A receiver in the last column may be left out with its comma.
    let optional = columns.receiver == Some(columns.count - 1);
    let least = columns.count - usize::from(optional);
    if !(least..=columns.count).contains(&fields.len()) {
        return Err(format!(
            "{} fields in {}: the header has {} columns, apart by commas; a number has a point, as 12.5",
            fields.len(),
            shown(line),
            columns.count
        ));
    }
    let field = |place: usize| fields.get(place).copied().unwrap_or_default();
    let time = field(columns.time);
    let seconds = time.parse().ok().map(|time: f64| time / columns.per_second);
    let seconds = seconds.filter(|time| (0.0..=LATEST).contains(time));
    let client = |what: &str, text: &str| -> Result<u32, String> {
        let parsed = text.parse().ok();
        parsed.ok_or_else(|| format!("{what} {} is no client's number", shown(text)))
    };
    let receiver = columns.receiver.map(field).filter(|text| !text.is_empty());
    Ok(TraceMessage {
        time: seconds.ok_or_else(|| {
            format!(
                "time {} is no number of seconds from 0 to {LATEST}",
                shown(time)
            )
        })?,
        sender: client("sender", field(columns.sender))?,
        receiver: receiver.map(|text| client("receiver", text)).transpose()?,
        line: u32::try_from(number).unwrap_or(u32::MAX),
    })
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    format!("{short:?}")
}

/// The clients of the class that a trace is for: the number of its first, how many, and how many
/// there are in all.
#[derive(Clone, Copy)]
pub(super) struct Clients {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) all: u64,
}

impl Trace {
    /// Whether every message can be sent; else the line and what is wrong there.
    pub(super) fn check(&self, clients: Clients) -> Result<(), String> {
        let Clients { first, count, all } = clients;
        for message in &self.messages {
            let TraceMessage { sender, line, .. } = message;
            if *sender >= count {
                return Err(format!(
                    "line {line}: sender {sender}: must be below the class's count {count}"
                ));
            }
            let Some(receiver) = message.receiver.map(u64::from) else {
                continue;
            };
            if receiver >= all {
                return Err(format!(
                    "line {line}: receiver {receiver}: must be below {all}, as many as there are clients"
                ));
            }
            if receiver == first + u64::from(*sender) {
                return Err(format!(
                    "line {line}: sender {sender} of the class is client {receiver} of all, and writes to itself"
                ));
            }
        }
        Ok(())
    }

    /// Counts what a run does not use, and says so.
    pub(super) fn warn(&self, key: &str, run: &Run, problems: &mut Problems) {
        let all = self.messages.len();
        if all == 0 {
            problems.warn(format!("{key}: the trace has no messages"));
            return;
        }
        if !self.has_header {
            problems.warn(format!(
                "{key}: the trace has no header, so its columns are taken for time,sender,receiver: make that its first line"
            ));
        }
        let (start, end) = (run.warm_up.get(), run.warm_up.get() + run.measure.get());
        let within = |from: f64, to: f64| {
            let times = self.messages.iter().map(|message| message.time);
            times.filter(|time| (from..to).contains(time)).count()
        };
        let late = within(run.length(), f64::INFINITY);
        if late > 0 {
            let last = self.messages.last().map_or(0.0, |message| message.time);
            problems.warn(format!(
                "{key}: {late} of {all} messages come after the run's end at {}s and are not sent (the last at {last}s: times are in seconds unless the header says time_ms)",
                run.length()
            ));
        }
        let unmeasured = all - late - within(start, end);
        if unmeasured > 0 {
            problems.warn(format!(
                "{key}: {unmeasured} of {all} messages come in the warm-up or the drain: they are sent, and not measured (the measurement is from {start}s to {end}s)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Seconds;

    #[test]
    fn traces_are_read() {
        let trace = parse("# mine\ntime,sender,receiver\n0.5,1,7\n\n2, 0\n2,3,\n").unwrap();
        let message = |time, sender, receiver, line| TraceMessage {
            time,
            sender,
            receiver,
            line,
        };
        let expected = [
            message(0.5, 1, Some(7), 3),
            message(2.0, 0, None, 5),
            message(2.0, 3, None, 6),
        ];
        assert_eq!(trace.messages, expected);
        let named = parse("sender,time_ms\n3,1500\n").unwrap();
        assert_eq!(named.messages, [message(1.5, 3, None, 2)]);
        assert!(!parse("1,2\n").unwrap().has_header);
    }

    #[test]
    fn the_header_rules_what_a_line_says() {
        for (text, line, what) in [
            // 12.5 as it is written in German.
            ("time,sender\n12,5,3\n", "line 2", "2 columns"),
            ("time,sender,receiver\n12,5,3,4\n", "line 2", "3 columns"),
            ("sender,receiver,time\n1,2\n", "line 2", "3 columns"),
            ("time,from\n1,2\n", "line 1", "\"from\""),
            ("time;sender\n1;2\n", "line 1", "\"time;sender\""),
            ("time,time_ms,sender\n1,2,3\n", "line 1", "twice"),
            ("sender,receiver\n1,2\n", "line 1", "time"),
            ("time,sender\n1\n", "line 2", "1 fields"),
            ("1,2\n0,1\n", "line 2", "order"),
            ("1,2,3,4", "line 1", "4 fields"),
            ("1,-2", "line 1", "sender \"-2\""),
            ("# a\n\n-1,2", "line 3", "time \"-1\""),
            ("1,2,x", "line 1", "receiver \"x\""),
            ("nan,2", "line 1", "time \"nan\""),
            ("inf,2", "line 1", "time \"inf\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(line) && error.contains(what),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn who_can_not_send_is_named_with_the_line() {
        // Two clients of the class, the third and fourth of five.
        let clients = Clients {
            first: 2,
            count: 2,
            all: 5,
        };
        let check = |text: &str| parse(text).unwrap().check(clients);
        assert_eq!(check("time,sender,receiver\n1,0,0\n2,1,4\n"), Ok(()));
        for (text, what) in [
            (
                "1,0\n2,2\n",
                "line 2: sender 2: must be below the class's count 2",
            ),
            ("1,0,5\n", "line 1: receiver 5: must be below 5"),
            (
                "1,0,1\n2,1,3\n",
                "line 2: sender 1 of the class is client 3 of all",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_is_not_used_is_counted() {
        let seconds = |seconds| Seconds::new(seconds).unwrap();
        let run = Run {
            seed: 1,
            repetitions: 2,
            warm_up: seconds(10.0),
            measure: seconds(20.0),
            drain: seconds(5.0),
            bin: seconds(1.0),
        };
        let warnings = |text: &str| {
            let mut problems = Problems::default();
            parse(text).unwrap().warn("key", &run, &mut problems);
            problems.finish().unwrap()
        };
        assert_eq!(warnings("time,sender\n12,0\n29,0\n"), Vec::<String>::new());
        let late = warnings("time,sender\n12,0\n32,0\n35,0\n12500,0\n");
        assert!(late[0].contains("2 of 4 messages come after the run's end at 35s"));
        assert!(late[1].contains("1 of 4 messages come in the warm-up or the drain"));
        assert!(warnings("# nothing\n")[0].contains("no messages"));
        assert!(warnings("12,0\n")[0].contains("no header"));
    }
}
