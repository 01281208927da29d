// One dashboard that answers, from top to bottom: is it up, does it keep pace,
// what fails, and how are the servers below.

import { BigValueTextMode } from '@grafana/grafana-foundation-sdk/common';
import { DashboardBuilder, DashboardCursorSync, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';

import { bad, chart, figure, good, signedChart, states, timeline, warnFrom } from './panels.mjs';
import { increase, ofEachProcess, own, quantiles, rate, shared, sharedRate } from './queries.mjs';
import { variables } from './variables.mjs';

/** The overview, in the classic model: that of dashboardv2 only the newest Grafana reads. */
export function overview() {
  const dashboard = new DashboardBuilder('Observatory / Overview')
    .uid('observatory-overview')
    .description(
      'Message handlers over Redis Streams: what they do, how far behind they are, what they gave up on, and the servers below them.',
    )
    .tags(['observatory'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .refresh('30s')
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .variables(variables());
  fill(dashboard, {
    Now: now(),
    Work: work(),
    Backlog: backlog(),
    Failures: failures(),
    Broker: broker(),
    'Database and outbox': database(),
    Collector: collector(),
  });
  return dashboard.build();
}

/** Puts headings and panels below each other and numbers them: links to a panel name its number. */
function fill(dashboard, sections) {
  let id = 0;
  for (const [title, panels] of Object.entries(sections)) {
    dashboard.withRow(new RowBuilder(title).id(++id));
    for (const panel of panels) {
      dashboard.withPanel(panel.id(++id));
    }
  }
}

const handlerOnStream = '{{handler}} on {{stream}}';
const brokerOfDomain = '{{domain}} {{broker_name}}';

const now = () => [
  figure('Engine', 'Each engine: up, or down from the moment its shutdown starts.', 'none', {
    expr: own('min', 'domain, instance', 'protean_engine_up'),
    legend: '{{domain}} {{instance}}',
  }).mappings(states(bad('down'), good('up'))),
  figure('Broker', 'Each broker, as the process that sees it worst does.', 'none', {
    expr: own('min', 'domain, broker_name', 'protean_broker_up'),
    legend: brokerOfDomain,
  }).mappings(states(bad('down'), good('up'))),
  figure('Subscriptions', 'Handlers on streams that the engines run, over all processes.', 'none', {
    expr: own('sum', 'domain', 'protean_engine_active_subscriptions'),
    legend: '{{domain}}',
  }),
  figure('Dead letters', 'Messages in dead-letter queues. They are not handled until they are replayed.', 'none', {
    expr: `sum by (domain) (${shared('protean_dlq_depth')})`,
    legend: '{{domain}}',
  }).thresholds(warnFrom(1, 100)),
  figure('Oldest unfinished', 'Age of the oldest message that is not handled yet, over all subscriptions.', 's', {
    expr: `max by (domain) (${shared('protean_subscription_oldest_unfinished_seconds')})`,
    legend: '{{domain}}',
  }).thresholds(warnFrom(300, 1800)),
  figure('Uptime', 'Time since each engine was built; the youngest process of a domain.', 's', {
    expr: own('min', 'domain', 'protean_engine_uptime_seconds'),
    legend: '{{domain}}',
  }),
  figure('Version', 'Versions that run. More than one is a rollout.', 'none', {
    expr: ofEachProcess('count', 'version, revision, goversion', 'protean_build_info'),
    legend: '{{version}} {{goversion}}',
  })
    .textMode(BigValueTextMode.Name)
    .span(24),
];

const processed = 'protean_subscription_messages_processed_total';

const work = () => [
  chart(
    'Throughput',
    'Handler calls a second, by how they ended. `skipped`: no handler of the subscription takes the type; acknowledged.',
    'cps',
    { expr: rate('handler, status', processed), legend: '{{handler}} {{status}}' },
  ),
  chart(
    'Error share',
    'Failed calls out of all calls. A retry counts as a call of its own; nothing is shown while nothing is called.',
    'percentunit',
    {
      expr: `${rate('handler', processed, 'status="error"')} / ${rate('handler', processed, 'status=~"ok|error"')}`,
      legend: '{{handler}}',
    },
  ).max(1),
  chart(
    'In and out',
    'Entries added to the streams, and read by each group, as Redis counts them: all publishers, all replicas.',
    'cps',
    { expr: sharedRate('protean_stream_entries_added_total'), legend: '{{stream}} added' },
    { expr: sharedRate('protean_subscription_entries_read_total'), legend: '{{stream}} read by {{handler}}' },
  ),
  chart(
    'Processing time',
    "Wall time of a handler's call: median, 95th and 99th percentile.",
    's',
    ...quantiles('protean_subscription_processing_duration_seconds'),
  ).span(12),
  chart(
    'End to end',
    "From the event's own time until it was handled: median, 95th and 99th percentile.",
    's',
    ...quantiles('protean_subscription_end_to_end_seconds'),
  ).span(12),
];

const backlog = () => [
  chart(
    'Lag',
    'Entries that a group has not got yet. No line: unknown. A lower bound where protean_subscription_lag_exact is 0.',
    'short',
    { expr: shared('protean_subscription_consumer_lag'), legend: handlerOnStream },
  ).span(6),
  chart('Lag in time', 'Age of the oldest entry that a group has not got yet.', 's', {
    expr: shared('protean_subscription_lag_seconds'),
    legend: handlerOnStream,
  }).span(6),
  chart(
    'Pending',
    'Entries delivered to a consumer of the group and not acknowledged: in flight, waiting for a retry, or left by a process that died.',
    'short',
    { expr: shared('protean_subscription_pending_messages'), legend: handlerOnStream },
  ).span(6),
  chart('Oldest unfinished', 'Age of the oldest entry that is not got yet or still pending.', 's', {
    expr: shared('protean_subscription_oldest_unfinished_seconds'),
    legend: handlerOnStream,
  }).span(6),
];

const failures = () => [
  chart('Dead letters waiting', 'Depth of each dead-letter queue.', 'short', {
    expr: shared('protean_dlq_depth'),
    legend: '{{dlq_stream}}',
  }),
  chart('Dead letters arriving', 'Messages that handlers failed or rejected, per interval of the chart.', 'short', {
    expr: increase('handler, stream', 'protean_subscription_dlq_routed_total'),
    legend: handlerOnStream,
  }),
  timeline(
    'Application down',
    'The application that a handler delivers to takes no messages: they wait, none is given up on.',
    states(good('up'), bad('down')),
    { expr: own('max', 'handler, stream', 'protean_subscription_target_down'), legend: handlerOnStream },
  ),
  chart('Retries', 'Failed messages that are tried again, a second.', 'cps', {
    expr: rate('handler, stream', 'protean_subscription_retries_total'),
    legend: handlerOnStream,
  }),
  chart('Retries waiting', 'Messages that wait for their next attempt now.', 'short', {
    expr: own('sum', 'handler, stream', 'protean_subscription_waiting_retries'),
    legend: handlerOnStream,
  }),
  chart(
    'Ghost entries',
    'Entries that were delivered without their body, because it was deleted or trimmed: acknowledged, lost.',
    'short',
    { expr: increase('handler, stream', 'protean_subscription_ghost_entries_total'), legend: handlerOnStream },
  ),
];

const broker = () => [
  timeline('Broker up', "Each process' way to its broker.", states(bad('down'), good('up')), {
    expr: own('min', 'domain, broker_name, instance', 'protean_broker_up'),
    legend: `${brokerOfDomain} from {{instance}}`,
  }),
  chart('Memory', "Memory that the broker's server uses.", 'bytes', {
    expr: shared('protean_broker_memory_bytes'),
    legend: brokerOfDomain,
  }),
  chart('Operations', "Commands that the broker's server runs a second, of all its clients.", 'ops', {
    expr: shared('protean_broker_ops_per_sec_per_second'),
    legend: brokerOfDomain,
  }),
  chart('Clients', "Clients connected to the broker's server, of all programs.", 'short', {
    expr: shared('protean_broker_connected_clients'),
    legend: brokerOfDomain,
  }).span(12),
  chart('Broker pool', 'Connections of each process to the broker that are in use.', 'short', {
    expr: own('sum', 'domain, broker_name, instance', 'protean_broker_pool_active_connections'),
    legend: `${brokerOfDomain} {{instance}}`,
  }).span(12),
];

const poolOfProcess = (metric, name) => ({
  expr: own('sum', 'domain, provider_name, instance', metric),
  legend: `{{provider_name}} {{instance}} ${name}`,
});

const database = () => [
  signedChart(
    'Database pool',
    "Each process' pool. Overflow is open connections minus size, negative until the pool has grown; idle + in use = size + overflow.",
    'short',
    poolOfProcess('protean_db_pool_size', 'size'),
    poolOfProcess('protean_db_pool_checked_out', 'in use'),
    poolOfProcess('protean_db_pool_checked_in', 'idle'),
    poolOfProcess('protean_db_pool_overflow', 'overflow'),
  ).span(12),
  chart('Outbox pending', 'Committed events that are not published yet.', 'short', {
    expr: shared('protean_outbox_pending_count'),
    legend: '{{domain}}',
  }).span(12),
];

const collector = () => [
  timeline(
    'Sources read',
    'Whether each process could read its servers. Where it could not, their figures are missing, not zero.',
    states(bad('failed'), good('read')),
    {
      expr: ofEachProcess('min', 'instance, source', 'protean_collector_success'),
      legend: '{{source}} from {{instance}}',
    },
  ).span(12),
  chart('Time to read', 'How long each source took at the last scrape.', 's', {
    expr: ofEachProcess('max', 'instance, source', 'protean_collector_duration_seconds'),
    legend: '{{source}} from {{instance}}',
  }).span(12),
];
