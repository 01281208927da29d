// One dashboard that answers, from top to bottom: is it up, does it keep pace,
// what fails, and how are the servers below.

import { BigValueTextMode } from '@grafana/grafana-foundation-sdk/common';
import { DashboardBuilder, DashboardCursorSync, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';

import {
  bad,
  chart,
  figure,
  good,
  shadesFor,
  signedChart,
  stateFigure,
  states,
  timeline,
  warnFrom,
} from './panels.mjs';
import {
  engines,
  increase,
  nonZero,
  ofEachProcess,
  own,
  quantiles,
  rate,
  shared,
  sharedRate,
} from './queries.mjs';
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
    'Held up': heldUp(),
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
  stateFigure(
    'Engine',
    'Each engine: up, or down from the moment its shutdown starts. Down, too, is a process that cannot be scraped.',
    bad('down'),
    good('up'),
    { expr: engines(), legend: '{{domain}} {{instance}}' },
  ).span(6),
  stateFigure('Broker', 'Each broker, as the process that sees it worst does.', bad('down'), good('up'), {
    expr: own('min', 'domain, broker_name', 'protean_broker_up'),
    legend: brokerOfDomain,
  }).span(6),
  stateFigure(
    'Applications',
    'The application of each handler. Where one is down its messages wait, and none is given up on; the others are up.',
    good('up'),
    bad('down'),
    { expr: nonZero(own('max', 'handler', 'protean_subscription_target_down')), legend: '{{handler}}' },
  ).span(6),
  figure('Dead letters', 'Messages in dead-letter queues. They are not handled until they are replayed.', 'none', {
    expr: `sum by (domain) (${shared('protean_dlq_depth')})`,
    legend: '{{domain}}',
  })
    .thresholds(warnFrom(1, 100))
    .span(6),
  figure(
    'Oldest unfinished',
    'Age of the oldest message that is not handled yet, of the eight handlers where it is oldest. Orange from the limit of ObservatoryLagging on, red from that of ObservatoryMessageStuck.',
    's',
    {
      expr: `topk(8, max by (handler) (${shared('protean_subscription_oldest_unfinished_seconds')}))`,
      legend: '{{handler}}',
    },
  )
    .thresholds(warnFrom(300, 1800))
    .textMode(BigValueTextMode.ValueAndName)
    .span(12),
  figure('Subscriptions', 'Handlers on streams that the engines run, over all processes.', 'none', {
    expr: own('sum', 'domain', 'protean_engine_active_subscriptions'),
    legend: '{{domain}}',
  }).span(6),
  figure('Uptime', 'Time since each engine was built; the youngest process of a domain.', 's', {
    expr: own('min', 'domain', 'protean_engine_uptime_seconds'),
    legend: '{{domain}}',
  }).span(6),
];

const processed = 'protean_subscription_messages_processed_total';

const work = () => [
  shadesFor(
    chart(
      'Throughput',
      'Handler calls a second, by how they ended. `skipped`: no handler of the subscription takes the type; acknowledged.',
      'mps',
      { expr: rate('handler, status', processed), legend: '{{handler}} {{status}}' },
    ),
    { ok: 'green', error: 'red', skipped: 'text' },
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
    "Wall time of a handler's call: median, 95th and 99th percentile; without skipped messages, and calls that found the application down.",
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
    'Entries that a group has not got yet. No line: unknown. An estimate where protean_subscription_lag_exact is 0.',
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

// Each of these is 0 while all is well; `all` is the line that says so.
const heldUp = () => [
  chart(
    'Subscriptions held up',
    'Processes in which a subscription is held up, and the reason; not those that stand by. What is not named is not held up.',
    'short',
    {
      expr: nonZero(own('sum', 'handler, reason', 'protean_subscription_gate_closed', ', reason!="standby"')),
      legend: '{{handler}} {{reason}}',
    },
  ).span(6),
  chart('Stuck calls', 'Calls that run beyond handler_timeout_seconds; their entries are not renewed.', 'short', {
    expr: nonZero(own('sum', 'handler, stream', 'protean_subscription_stuck_calls')),
    legend: '{{handler}} {{stream}}',
  }).span(6),
  chart(
    'Dead letters not written',
    'Messages given up on whose dead letter the broker refuses; each holds up the later messages of its own key.',
    'short',
    {
      expr: nonZero(own('sum', 'handler, stream', 'protean_subscription_dead_letters_waiting')),
      legend: '{{handler}} {{stream}}',
    },
  ).span(6),
  chart(
    'Entries lost',
    'Entries in flight that were claimed by another consumer, acknowledged or removed by hand, per interval of the chart.',
    'short',
    {
      expr: nonZero(increase('handler, stream', 'protean_subscription_entries_lost_total')),
      legend: '{{handler}} {{stream}}',
    },
  ).span(6),
];

const failures = () => [
  chart('Dead-letter queues', 'Depth of each dead-letter queue.', 'short', {
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
  chart('Retries', 'Failed messages that are tried again, a second.', 'mps', {
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
  figure('Version', 'Versions that run. More than one is a rollout.', 'none', {
    expr: ofEachProcess('count', 'version, revision, goversion', 'protean_build_info'),
    legend: '{{version}} {{goversion}}',
  })
    .textMode(BigValueTextMode.Name)
    .height(3)
    .span(24),
];
