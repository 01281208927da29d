// The panels that the dashboards are made of, each with its queries and its
// place in Grafana's grid of 24 columns.

import {
  BigValueGraphMode,
  BigValueTextMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, QueryEditorMode } from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

/** The data source that the reader chose. */
export const source = { type: 'prometheus', uid: '${datasource}' };

/**
 * A sixth of a line: the latest value, large, and "unknown" where there is none. Its colour means nothing without
 * thresholds or states.
 */
export const figure = (title, description, unit, ...queries) =>
  panel(stat, title, description, queries, (query) => query.instant())
    .unit(unit)
    .height(4)
    .span(4)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
    .noValue('unknown')
    .colorScheme(byThresholds())
    .thresholds(neutral());

/** A figure of which each value is a state. */
export const stateFigure = (title, description, zero, one, ...queries) =>
  figure(title, description, 'none', ...queries)
    .mappings(states(zero, one))
    .textMode(BigValueTextMode.ValueAndName);

/** A third of a line: figures over time that are never negative. */
export const chart = (...content) => signedChart(...content).min(0);

/** A third of a line: figures over time; the axis begins where they do. */
export const signedChart = (title, description, unit, ...queries) =>
  panel(timeseries, title, description, queries, (query) => query.range())
    .unit(unit)
    .height(8)
    .span(8)
    .drawStyle(GraphDrawStyle.Line)
    .lineWidth(1)
    .fillOpacity(10)
    .showPoints(VisibilityMode.Never)
    .spanNulls(false) // what is not known is a gap
    .legend(legend(LegendDisplayMode.Table).calcs(['lastNotNull', 'max']).sortBy('Max').sortDesc(true))
    .tooltip(tooltip());

/** A third of a line: which state each line was in, over time. */
export const timeline = (title, description, mappings, ...queries) =>
  panel(statetimeline, title, description, queries, (query) => query.range())
    .unit('none')
    .height(8)
    .span(8)
    .mappings(mappings)
    .colorScheme(byThresholds())
    .thresholds(neutral())
    .legend(legend(LegendDisplayMode.List))
    .tooltip(tooltip());

/** Names and colours the values 0 and 1. */
export const states = (zero, one) => [
  { type: MappingType.ValueToText, options: { 0: { ...zero, index: 0 }, 1: { ...one, index: 1 } } },
];

export const good = (text) => ({ text, color: 'green' });
export const bad = (text) => ({ text, color: 'red' });

/** Colours values of 0 and more: green, from the first on orange, from the second on red. */
export const warnFrom = (orange, red) => steps(['green', 0], ['orange', orange], ['red', red]);

/** Gives the lines whose name ends with a word shades of a colour. */
export const shadesFor = (chart, colours) =>
  Object.entries(colours).reduce(
    (coloured, [word, color]) =>
      coloured.overrideByRegexp(`/ ${word}$/`, [
        { id: 'color', value: { mode: FieldColorModeId.Shades, fixedColor: color } },
      ]),
    chart,
  );

// Without steps of its own, Grafana shows everything from 80 on in red.
const neutral = () => steps(['text', 0]);

// The first step is also the colour of no value at all: what is not known must not look well.
const unknown = ['purple', null];

const steps = (...colours) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([unknown, ...colours].map(([color, value]) => ({ color, value })));

const byThresholds = () => new FieldColorBuilder().mode(FieldColorModeId.Thresholds);

const legend = (mode) =>
  new VizLegendOptionsBuilder().displayMode(mode).placement(LegendPlacement.Bottom).showLegend(true);

const tooltip = () => new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending);

function panel(plugin, title, description, queries, kind) {
  return new plugin.PanelBuilder()
    .title(title)
    .description(description)
    .datasource(source)
    .targets(
      queries.map(({ expr, legend }, i) =>
        kind(
          new DataqueryBuilder()
            .refId(String.fromCharCode('A'.charCodeAt(0) + i))
            .datasource(source)
            .editorMode(QueryEditorMode.Code)
            .expr(expr)
            .legendFormat(legend),
        ),
      ),
    );
}
