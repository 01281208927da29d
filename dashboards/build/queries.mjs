// The shapes of PromQL that the dashboards ask with.

// What the reader chose. A figure of a process (its collector, its build) has no
// domain.
const ofProcess = 'job=~"$job", instance=~"$instance"';
const ofDomain = `${ofProcess}, domain=~"$domain"`;

/** A figure that every replica reports alike, once. */
export const shared = (metric) => `max without (instance, pod) (${metric}{${ofDomain}})`;

/** The rate of a counter that every replica reports alike. */
export const sharedRate = (counter) =>
  `max without (instance, pod) (rate(${counter}{${ofDomain}}[$__rate_interval]))`;

/** A gauge of which each process has its part, put together. */
export const own = (aggregate, labels, metric, more = '') =>
  `${aggregate} by (${labels}) (${metric}{${ofDomain}${more}})`;

/** Each engine: 0 too for a process that cannot be scraped, of which nothing else is known. */
export const engines = () =>
  `${own('min', 'domain, instance', 'protean_engine_up')} or on (instance) (${ofEachProcess('min', 'instance', 'up')} == 0)`;

/** What is not 0; where all are, one line of handler "all" says so, and none where nothing is known. */
export const nonZero = (expr) => `${expr} > 0 or label_replace(max(${expr}) == 0, "handler", "all", "", "")`;

/** A gauge of each process that belongs to no domain. */
export const ofEachProcess = (aggregate, labels, metric) => `${aggregate} by (${labels}) (${metric}{${ofProcess}})`;

/** The rates of a counter of which each process has its part, added up. */
export const rate = (labels, counter, ...matchers) =>
  `sum by (${labels}) (rate(${counter}{${[ofDomain, ...matchers].join(', ')}}[$__rate_interval]))`;

/** How much a counter grew, over all processes. */
export const increase = (labels, counter) =>
  `sum by (${labels}) (increase(${counter}{${ofDomain}}[$__rate_interval]))`;

/** The median, the slow and the slowest of a histogram's figures, for each handler. */
export const quantiles = (histogram) =>
  Object.entries({ p50: 0.5, p95: 0.95, p99: 0.99 }).map(([name, quantile]) => ({
    expr: `histogram_quantile(${quantile}, ${rate('le, handler', `${histogram}_bucket`)})`,
    legend: `{{handler}} ${name}`,
  }));
