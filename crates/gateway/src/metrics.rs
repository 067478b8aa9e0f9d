//! What `/metrics` shows: counts of the engine and of the log, read when they are asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use firsthand_adapters::record::LogState;
use firsthand_auditlog::durations::Durations;
use firsthand_session::tally::Following;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::assemble::Gateway;
use crate::witnesses::Each;

/// The registry of one gateway.
pub(crate) fn registry(gateway: Arc<Gateway>) -> Registry {
    let mut registry = Registry::with_prefix("firsthand");
    registry.register("build", "This build", Info::new(vec![("version", crate::VERSION)]));
    registry.register_collector(Box::new(Source(gateway)));
    registry
}

struct Source(Arc<Gateway>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        self.sessions(&mut page)?;
        self.commands(&mut page)?;
        self.approvals(&mut page)?;
        self.channels(&mut page)?;
        self.log(&mut page)?;
        self.signer(&mut page)?;
        self.witnesses(&mut page)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> Result<(), fmt::Error> {
        let metric = ConstCounter::new(value);
        let encoder = self.0.encode_descriptor(name, help, unit, metric.metric_type())?;
        metric.encode(encoder)
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Durations) -> Result<(), fmt::Error> {
        let classes: Vec<_> =
            times.classes().map(|(upper, n)| (upper.map_or(f64::MAX, seconds), n)).collect();
        // Of the same reading as the classes: a sync may be counted meanwhile.
        let count = classes.iter().map(|(_, n)| n).sum();
        let sum = seconds(times.sum_us());
        let mut encoder =
            self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &classes, None)
    }

    /// A gauge for each of these labels.
    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: &[(Vec<(&'static str, String)>, f64)],
    ) -> Result<(), fmt::Error> {
        if values.is_empty() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(*value).encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> Result<(), fmt::Error> {
        let metric = ConstGauge::new(value);
        let encoder = self.0.encode_descriptor(name, help, unit, metric.metric_type())?;
        metric.encode(encoder)
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles; a gauge is no accounting")]
fn float(n: u64) -> f64 {
    n as f64
}

fn count(n: usize) -> f64 {
    float(u64::try_from(n).unwrap_or(u64::MAX))
}

fn seconds(micros: u64) -> f64 {
    float(micros) / 1e6
}

impl Source {
    fn sessions(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let tally = &self.0.engine.tally;
        let half_open: usize = self.0.servers.iter().map(|(_, s)| s.half_open.count()).sum();
        page.gauge("sessions", "Sessions that run", None, count(self.0.sessions.count()))?;
        page.gauge("handshakes", "Connections that are not let in yet", None, count(half_open))?;
        let large = count(self.0.budget.used());
        page.gauge("large_messages", "Bytes of large messages held", Some(&Unit::Bytes), large)?;
        page.counter("sessions_opened", "Sessions opened", None, get(&tally.sessions_opened))?;
        page.counter("sessions_closed", "Sessions closed", None, get(&tally.sessions_closed))?;
        page.counter(
            "admissions_refused",
            "Connections that were not let in",
            None,
            get(&tally.admissions_refused),
        )?;
        page.counter(
            "connections_dropped",
            "Connections that gave way before they were let in, because too many were half open",
            None,
            get(&tally.connections_dropped),
        )?;
        let uptime = self.0.started.elapsed().as_secs_f64();
        page.gauge("uptime", "Time since the start", Some(&Unit::Seconds), uptime)
    }

    fn commands(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let tally = &self.0.engine.tally;
        page.counter("commands_permitted", "Commands permitted", None, get(&tally.commands_permitted))?;
        page.counter("commands_refused", "Commands refused", None, get(&tally.commands_refused))?;
        page.counter(
            "commands_failed",
            "Commands answered with an error by their target",
            None,
            get(&tally.commands_failed),
        )?;
        page.counter(
            "commands_abandoned",
            "Permitted commands that have no answer",
            None,
            get(&tally.commands_abandoned),
        )?;
        page.counter(
            "tripwires",
            "Sessions ended because a command that was judged a read would have written, or may have and was rolled back",
            None,
            get(&tally.tripwires),
        )?;
        self.followed(page)?;
        page.counter("rows", "Rows delivered", None, get(&tally.rows))?;
        page.counter("delivered", "Bytes of rows delivered", Some(&Unit::Bytes), get(&tally.bytes))
    }

    /// Approvals that one person gave alone.
    fn approvals(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let broken = self.0.approvals.glass_broken();
        page.counter(
            "approvals_glass_broken",
            "Held commands that one person released alone (break-glass)",
            None,
            broken,
        )
    }

    /// What channels are told, and what they answer.
    fn channels(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let counts = &self.0.channels.counts;
        page.counter("channels_sent", "Messages that channels took", None, get(&counts.sent))?;
        page.counter(
            "channels_tried_again",
            "Tries to tell a channel that failed and are repeated",
            None,
            get(&counts.tried_again),
        )?;
        page.counter(
            "channels_failed",
            "Messages that did not reach their channel",
            None,
            get(&counts.failed),
        )?;
        page.gauge(
            "channels_waiting",
            "Messages that wait for their channel",
            None,
            float(get(&counts.waiting)),
        )?;
        page.counter("channels_answers", "Answers over channels that counted", None, get(&counts.answers))?;
        page.counter(
            "channels_refused",
            "Answers over channels that were signed and did not count",
            None,
            get(&counts.refused),
        )
    }

    /// How the reading of targets' changes stands; nothing where none is configured.
    fn followed(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let followed = self.0.engine.tally.followed();
        let each = |value: fn(&Following) -> Option<f64>| {
            let of = |((target, database), now): &((String, String), Following)| {
                Some((vec![("target", target.clone()), ("database", database.clone())], value(now)?))
            };
            followed.iter().filter_map(of).collect::<Vec<_>>()
        };
        let reading = each(|now| Some(if now.reading { 1.0 } else { 0.0 }));
        page.gauges("changes_read", "1 when changed rows are read from the target's log", None, &reading)?;
        let lag = each(|now| now.lag.map(float));
        page.gauges("changes_kept", "Bytes of its log that the target keeps", Some(&Unit::Bytes), &lag)?;
        let pending = each(|now| Some(float(now.pending)));
        page.gauges("changes_pending", "Transactions whose rows are still to be read", None, &pending)
    }

    fn signer(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let signer = &self.0.signer;
        let now = signer.standing();
        let healthy = if now.is_ready() { 1.0 } else { 0.0 };
        page.gauge("log_signer_healthy", "1 when what is durable gets signed", None, healthy)?;
        page.counter("log_checkpoints", "Checkpoints published", None, signer.checkpoints())?;
        page.counter("log_signer_failures", "Tries to sign that failed", None, signer.failures())?;
        page.histogram(
            "log_signing",
            "From when entries were seen to be durable until they were signed",
            signer.lags(),
        )?;
        let Some((newest, age)) = now.newest else { return Ok(()) };
        page.gauge(
            "log_checkpoint_age",
            "Age of the newest checkpoint",
            Some(&Unit::Seconds),
            age.as_secs_f64(),
        )?;
        page.gauge(
            "log_checkpoint_size",
            "Entries that the newest checkpoint signs",
            None,
            float(newest.size),
        )
    }

    /// Who cosigns the log; nothing where nobody is asked.
    fn witnesses(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let witnesses = &self.0.witnesses;
        let now = witnesses.standing();
        if now.each.is_empty() {
            return Ok(());
        }
        let in_time = if now.is_in_time() { 1.0 } else { 0.0 };
        page.gauge("log_witness_quorum", "1 when enough witnesses cosign in time", None, in_time)?;
        page.histogram(
            "log_cosigning",
            "From when a checkpoint was published until enough witnesses had cosigned it",
            witnesses.lags(),
        )?;
        if let Some((size, _)) = now.cosigned {
            let help = "Entries that enough witnesses have cosigned";
            page.gauge("log_witness_cosigned_size", help, None, float(size))?;
        }
        let each = |value: fn(&Each) -> Option<f64>| {
            let of = |one: &Each| Some((vec![("witness", one.name.clone())], value(one)?));
            now.each.iter().filter_map(of).collect::<Vec<_>>()
        };
        let sizes = each(|one| one.cosigned.map(|(size, _)| float(size)));
        page.gauges("log_witness_size", "Entries that the witness has cosigned", None, &sizes)?;
        let ages = each(|one| one.cosigned.map(|(_, age)| age.as_secs_f64()));
        let help = "Since the witness cosigned last";
        page.gauges("log_witness_age", help, Some(&Unit::Seconds), &ages)?;
        let refuses = each(|one| Some(if one.refuses { 1.0 } else { 0.0 }));
        let help = "1 when the witness has seen another history of this log, or more of it";
        page.gauges("log_witness_refuses", help, None, &refuses)?;
        let asked = now.each.iter().map(|one| one.asked).sum();
        page.counter("log_witness_asked", "Checkpoints that witnesses were asked to cosign", None, asked)?;
        let failed = now.each.iter().map(|one| one.failed).sum();
        page.counter("log_witness_failures", "Times that a witness did not cosign", None, failed)
    }

    fn log(&self, page: &mut Page<'_>) -> Result<(), fmt::Error> {
        let counters = self.0.record.counters();
        let (state, health) = self.0.record.state();
        let healthy = if state == LogState::Ok { 1.0 } else { 0.0 };
        page.gauge("log_healthy", "1 when the log takes intents", None, healthy)?;
        page.counter("log_entries", "Entries made durable", None, get(&counters.entries))?;
        page.counter(
            "log_written",
            "Bytes of entries made durable",
            Some(&Unit::Bytes),
            get(&counters.bytes),
        )?;
        page.counter(
            "log_syncs",
            "Writes to the log that were waited for until they were on disk",
            None,
            get(&counters.syncs),
        )?;
        page.histogram(
            "log_sync",
            "What such a write took, with the waiting for the disk",
            &counters.sync_times,
        )?;
        page.counter("log_refused", "Entries that the log did not take", None, get(&counters.refused))?;
        let waiting = float(health.next.saturating_sub(health.durable));
        page.gauge("log_waiting", "Entries queued and not durable yet", None, waiting)?;
        let queued = count(self.0.record.queued_bytes());
        page.gauge("log_queued", "Bytes queued and not written yet", Some(&Unit::Bytes), queued)?;
        let age = seconds(health.unsynced_us);
        page.gauge("log_oldest", "Age of the oldest entry not durable yet", Some(&Unit::Seconds), age)
    }
}
