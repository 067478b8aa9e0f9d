//! Channels: what becomes of approvals is told outside, and answers come in. Nobody waits for any of it: what is told waits in a
//! bounded queue of each channel, and what does not arrive is tried again for some minutes, and then an entry says so.
//!
//! - `deliver.rs`: one try to tell one channel.
//! - `answer.rs`: from what a channel says to a person whose answer counts.
//! - `queue.rs`: what waits, and when it is tried.

pub(crate) mod answer;
pub(crate) mod deliver;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use firsthand_adapters::approvals::{Approvals, Told};
use firsthand_adapters::channels::chat::Posted;
use firsthand_adapters::channels::signed::Keys;
use firsthand_adapters::channels::{ChannelSpec, Occasion, Way};
use firsthand_model::json::Json;
use firsthand_session::secret::Secret;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::assemble::Gateway;
use crate::reading::what;
use crate::who;
use deliver::{Attempt, Outcome};
use queue::{Delivery, Queue};

/// What has become of approvals and no channel has been looked for: as many as are open at a time.
const TOLD_MAX: usize = 4096;
/// What waits for one channel.
const WAITING_MAX: usize = 1024;
/// Characters of why something did not arrive: servers may say much.
const WHY_CHARS_MAX: usize = 512;
/// Messages that can still be brought up to date: as many as approvals are open at a time.
const POSTED_MAX: usize = 4096;

/// What a channel is told and asked with.
#[derive(Clone)]
pub(crate) enum Secrets {
    Webhook(Keys),
    Slack { token: Secret, signing: Option<Secret> },
    Mail { password: Option<Secret> },
}

/// A channel with its secrets, or with what is wrong with them.
pub(crate) struct Channel {
    pub(crate) spec: ChannelSpec,
    pub(crate) secrets: Result<Secrets, String>,
}

impl Channel {
    /// Reads its secrets.
    pub(crate) fn ready(spec: &ChannelSpec) -> Self {
        Self { spec: spec.clone(), secrets: secrets(&spec.way) }
    }
}

fn secrets(way: &Way) -> Result<Secrets, String> {
    let missing = |e: firsthand_session::port::CredentialError| e.to_string();
    Ok(match way {
        Way::Webhook { secret, .. } => Secrets::Webhook(
            Keys::read(secret.read().map_err(missing)?.expose()).map_err(|why| format!("secret: {why}"))?,
        ),
        Way::Slack { token, signing_secret, .. } => Secrets::Slack {
            token: token.read().map_err(missing)?,
            signing: signing_secret.as_ref().map(|place| place.read().map_err(missing)).transpose()?,
        },
        Way::Mail { login, .. } => {
            let password = login.as_ref().and_then(|login| login.password.as_ref());
            Secrets::Mail { password: password.map(|place| place.read().map_err(missing)).transpose()? }
        }
    })
}

/// What `/metrics` shows of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) tried_again: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) answers: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Messages that were posted, by channel and approval, the oldest first.
#[derive(Default)]
struct Messages {
    known: HashMap<(String, String), Posted>,
    order: VecDeque<(String, String)>,
}

/// The channels of a gateway.
pub(crate) struct Channels {
    ready: ArcSwap<Vec<Arc<Channel>>>,
    told: Mutex<Option<mpsc::Receiver<Told>>>,
    messages: Mutex<Messages>,
    pub(crate) counts: Counts,
}

impl Channels {
    /// Hears of what becomes of these approvals from now on.
    pub(crate) fn new(specs: &[ChannelSpec], approvals: &Approvals) -> Arc<Self> {
        let (hears, told) = mpsc::channel(TOLD_MAX);
        let channels = Arc::new(Self {
            ready: ArcSwap::default(),
            told: Mutex::new(Some(told)),
            messages: Mutex::default(),
            counts: Counts::default(),
        });
        channels.replace(specs);
        let counted = Arc::clone(&channels);
        approvals.on_told(Box::new(move |told| {
            // Whoever asks or answers does not wait for channels.
            if !counted.ready.load().is_empty() && hears.try_send(told).is_err() {
                counted.counts.failed.fetch_add(1, Relaxed);
            }
        }));
        channels
    }

    /// Reads their secrets anew.
    pub(crate) fn replace(&self, specs: &[ChannelSpec]) {
        self.ready.store(Arc::new(specs.iter().map(|spec| Arc::new(Channel::ready(spec))).collect()));
    }

    /// Channels without a secret that they need; they are told nothing until a reload finds it.
    pub(crate) fn missing(&self) -> Vec<String> {
        let all = self.ready.load();
        all.iter()
            .filter_map(|c| Some(format!("channel {}: {}", c.spec.name, c.secrets.as_ref().err()?)))
            .collect()
    }

    /// The channel of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Channel>> {
        self.ready.load().iter().find(|channel| channel.spec.name == name).cloned()
    }

    /// The message of an approval in a channel.
    pub(crate) fn posted(&self, channel: &str, approval: &str) -> Option<Posted> {
        self.messages().known.get(&(channel.to_owned(), approval.to_owned())).cloned()
    }

    /// A message was posted, or somebody has pressed a button of it.
    pub(crate) fn note_posted(&self, channel: &str, approval: &str, posted: Posted) {
        let key = (channel.to_owned(), approval.to_owned());
        let mut messages = self.messages();
        if messages.known.insert(key.clone(), posted).is_none() {
            messages.order.push_back(key);
        }
        while messages.order.len() > POSTED_MAX {
            if let Some(oldest) = messages.order.pop_front() {
                messages.known.remove(&oldest);
            }
        }
    }

    fn messages(&self) -> std::sync::MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a channel may be told of that. Broken glass is told everywhere. What stands in a chat is brought up to date whatever it is told of: whether it stands there
/// is known when what came before it was sent.
fn wants(channel: &Channel, occasion: Occasion) -> bool {
    occasion == Occasion::GlassBroken
        || channel.spec.on.contains(&occasion)
        || matches!(channel.spec.way, Way::Slack { .. })
}

/// Tells all channels of what becomes of approvals, until dropped.
pub(crate) async fn tell(gateway: Arc<Gateway>) {
    let taken = gateway.channels.told.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut told) = taken else { return };
    let mut workers: HashMap<String, mpsc::Sender<Delivery>> = HashMap::new();
    let mut working = tokio::task::JoinSet::new();
    while let Some(one) = told.recv().await {
        let Some(occasion) = Occasion::of_kind(one.kind) else { continue };
        // What the record does not have is not told outside.
        if gateway.desk.durable(one.ticket).await.is_err() {
            gateway.channels.counts.failed.fetch_add(1, Relaxed);
            continue;
        }
        let message =
            format!("msg_{}_{}", gateway.approvals.log().get(..8).unwrap_or_default(), one.ticket.0);
        for channel in gateway.channels.ready.load().iter() {
            if !wants(channel, occasion) {
                continue;
            }
            let name = channel.spec.name.clone();
            let delivery = Delivery {
                occasion,
                approval: one.id.clone(),
                given: one.given,
                message: message.clone(),
                tries: 0,
            };
            let worker = workers.entry(name.clone()).or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                working.spawn(work(Arc::clone(&gateway), name, receiver));
                sender
            });
            if let Err(refused) = worker.try_send(delivery) {
                failed(&gateway, channel, &refused.into_inner(), "too much waits for this channel");
            }
        }
    }
}

/// Tells one channel, one thing after the other.
async fn work(gateway: Arc<Gateway>, name: String, mut comes: mpsc::Receiver<Delivery>) {
    let mut queue = Queue::default();
    let waiting = &gateway.channels.counts.waiting;
    loop {
        tokio::select! {
            biased;
            // First what is due: nothing that comes keeps it waiting.
            () = until(queue.due()) => {}
            came = comes.recv(), if queue.len() < WAITING_MAX => {
                let Some(delivery) = came else { return };
                waiting.fetch_add(1, Relaxed);
                queue.add(delivery, Instant::now());
                continue;
            }
        }
        let Some(mut delivery) = queue.take() else { continue };
        waiting.fetch_sub(1, Relaxed);
        let Some(channel) = gateway.channels.find(&name) else { continue };
        delivery.tries += 1;
        match deliver::attempt(&gateway, &channel, &delivery).await {
            Ok(Outcome::Sent) => sent(&gateway, &channel, &delivery),
            Ok(Outcome::NotForIt) => {}
            Err(Attempt { why, again }) => {
                tracing::debug!("channel {name}: approval {}: {why}", delivery.approval);
                if !again || !queue.again(delivery.clone(), Instant::now()) {
                    failed(&gateway, &channel, &delivery, &why);
                    continue;
                }
                waiting.fetch_add(1, Relaxed);
                gateway.channels.counts.tried_again.fetch_add(1, Relaxed);
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn leaf(channel: &Channel, delivery: &Delivery, sent: bool) -> Value {
    let mut leaf = json!({
        "approval": delivery.approval, "channel": channel.spec.name, "message": delivery.message,
        "occasion": delivery.occasion.word(), "tries": delivery.tries,
    });
    if sent
        && channel.spec.text
        && let Value::Object(leaf) = &mut leaf
    {
        leaf.insert("text".to_owned(), json!(true));
    }
    leaf
}

fn sent(gateway: &Gateway, channel: &Channel, delivery: &Delivery) {
    gateway.channels.counts.sent.fetch_add(1, Relaxed);
    record(gateway, "admin.channel_sent", &leaf(channel, delivery, true), Json::default());
}

fn failed(gateway: &Gateway, channel: &Channel, delivery: &Delivery, why: &str) {
    gateway.channels.counts.failed.fetch_add(1, Relaxed);
    let (name, why) = (&channel.spec.name, why.chars().take(WHY_CHARS_MAX).collect::<String>());
    tracing::warn!(
        "channel {name} was not told that approval {} is {}: {why}",
        delivery.approval,
        delivery.occasion.word()
    );
    record(gateway, "admin.channel_failed", &leaf(channel, delivery, false), what(&json!({ "why": why })));
}

fn record(gateway: &Gateway, kind: &'static str, leaf: &Value, payload: Json) {
    let by = who::own(&gateway.desk.keys);
    if let Err(failure) = gateway.desk.queue(kind, &by, what(leaf), payload) {
        tracing::error!("what a channel was told is not recorded: {}", failure.messages.join("; "));
    }
}
