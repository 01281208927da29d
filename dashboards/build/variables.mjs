// What the reader chooses at the top of a dashboard.

import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';

import { source } from './panels.mjs';

/** The choices, each within those before it. */
export const variables = () => [
  new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
  choice('job', 'Job', 'label_values(protean_build_info, job)'),
  choice('instance', 'Instance', 'label_values(protean_build_info{job=~"$job"}, instance)'),
  choice('domain', 'Domain', 'label_values(protean_broker_up{job=~"$job", instance=~"$instance"}, domain)'),
];

/**
 * A variable of which several values may be taken; all of them at first. It is
 * read again whenever the time range changes.
 */
const choice = (name, label, values) =>
  new QueryVariableBuilder(name)
    .label(label)
    .query(values)
    .datasource(source)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ text: ['All'], value: ['$__all'] });
