package main

// source is the data source that the reader chose.
var source = datasourceRef{Type: "prometheus", UID: "${datasource}"}

// query is one expression and what its lines are called.
type query struct{ expr, legend string }

// chart is a third of a line: figures over time. More is done by its methods.
func chart(title, description, unit string, queries ...query) panel {
	p := newPanel("timeseries", title, description, unit, queries)
	p.GridPos = gridPos{H: 8, W: 8}
	p.FieldConfig.Defaults.Min = new(0.0)
	p.FieldConfig.Defaults.Custom = map[string]any{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
	}
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// figure is a sixth of a line: the latest value, large.
func figure(title, description, unit string, queries ...query) panel {
	p := newPanel("stat", title, description, unit, queries)
	p.GridPos = gridPos{H: 4, W: 4}
	p.Options = map[string]any{
		"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto", "wideLayout": true,
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
	for i := range p.Targets {
		p.Targets[i].Instant, p.Targets[i].Range = true, false
	}
	return p
}

func newPanel(kind, title, description, unit string, queries []query) panel {
	p := panel{
		Type: kind, Title: title, Description: description, Datasource: &source,
		FieldConfig: &fieldConfig{Defaults: fieldDefaults{Unit: unit}, Overrides: []struct{}{}},
	}
	for i, q := range queries {
		p.Targets = append(p.Targets, target{
			RefID: string(rune('A' + i)), Datasource: source, Expr: q.expr, LegendFormat: q.legend, Range: true,
		})
	}
	return p
}

// wide makes a panel n columns wide.
func (p panel) wide(n int) panel {
	p.GridPos.W = n
	return p
}

// belowZero lets the axis begin where the figures do: some are negative.
func (p panel) belowZero() panel {
	p.FieldConfig.Defaults.Min = nil
	return p
}

// share is for figures between 0 and 1.
func (p panel) share() panel {
	p.FieldConfig.Defaults.Max = new(1.0)
	return p
}

// named shows a figure's legend in place of its value.
func (p panel) named() panel {
	p.Options["textMode"] = "name"
	return p
}

// warnAbove colours values: green up to orange, then red.
func (p panel) warnAbove(orange, red float64) panel {
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: []step{
		{Color: "green"}, {Color: "orange", Value: &orange}, {Color: "red", Value: &red},
	}}
	return p
}

// states names and colours the values 0 and 1.
func (p panel) states(zero, zeroColor, one, oneColor string) panel {
	p.FieldConfig.Defaults.Max = new(1.0)
	p.FieldConfig.Defaults.Mappings = []valueMapping{{Type: "value", Options: map[string]mapping{
		"0": {Text: zero, Color: zeroColor, Index: 0},
		"1": {Text: one, Color: oneColor, Index: 1},
	}}}
	return p
}

// stepped draws states as steps instead of slopes.
func (p panel) stepped() panel {
	p.FieldConfig.Defaults.Custom["lineInterpolation"] = "stepAfter"
	p.FieldConfig.Defaults.Decimals = new(0)
	return p
}
