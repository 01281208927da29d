package domain

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/deadletter"
)

// OnDeadLetters registers a function that `[server.dlq] alert_callback` may name.
func (d *Domain) OnDeadLetters(name string, fn deadletter.AlertFunc) {
	if d.alerts == nil {
		d.alerts = map[string]deadletter.AlertFunc{}
	}
	d.alerts[name] = fn
}

// maintenance is what is done to the dead-letter queues of subscriptions, each on the
// broker that its stream is read from; nothing unless [server.dlq] is enabled, and
// nothing on a broker that has no such queues.
func (d *Domain) maintenance(subscriptions []Subscription) deadletter.MaintenanceConfig {
	settings := d.config.DeadLetters
	if !settings.Enabled {
		return deadletter.MaintenanceConfig{}
	}
	c := deadletter.MaintenanceConfig{Every: settings.Every, Repeat: settings.Repeat, Candidate: rand.Text()}
	switch callback := settings.Callback; {
	case strings.HasPrefix(callback, "http://"), strings.HasPrefix(callback, "https://"):
		c.Alert = deadletter.PostAlert(callback)
	default:
		c.Alert = d.alerts[callback]
	}
	for _, s := range subscriptions {
		queue := d.brokers[s.Broker]
		if queue == nil || !queue.Capabilities().Has(broker.DeadLetters) {
			continue // an event store's are records in it
		}
		retention, threshold := s.deadLetterPolicy(settings)
		i := slices.IndexFunc(c.Policies, func(p deadletter.Policy) bool { return p.Stream == s.Stream })
		if i < 0 {
			c.Policies = append(c.Policies, deadletter.Policy{Queue: queue, Stream: s.Stream, Retention: retention, Threshold: threshold})
			continue
		}
		c.Policies[i].Retention, c.Policies[i].Threshold = max(c.Policies[i].Retention, retention), min(c.Policies[i].Threshold, threshold)
	}
	return c
}

// deadLetterPolicy is what a subscription asks for its stream's queue.
func (s Subscription) deadLetterPolicy(all config.DeadLetters) (retention time.Duration, threshold int) {
	own := s.resolved.Config()
	retention, threshold = all.Retention, all.Threshold
	if own.DeadLetterRetention > 0 {
		retention = own.DeadLetterRetention
	}
	if own.DeadLetterThreshold > 0 {
		threshold = own.DeadLetterThreshold
	}
	return retention, threshold
}

// differentPolicies warns of subscriptions that share a dead-letter queue and ask for
// something that does not hold: the longest retention and the lowest threshold do.
func differentPolicies(all config.DeadLetters, subscriptions []Subscription) (warnings []config.Warning) {
	if !all.Enabled {
		return nil
	}
	type policy struct {
		retention time.Duration
		threshold int
	}
	held := map[string]policy{}
	subscriptions = slices.DeleteFunc(slices.Clone(subscriptions), func(s Subscription) bool { return s.Type == string(config.TypeEventStore) })
	for _, s := range subscriptions {
		retention, threshold := s.deadLetterPolicy(all)
		if h, has := held[s.Stream]; has {
			retention, threshold = max(retention, h.retention), min(threshold, h.threshold)
		}
		held[s.Stream] = policy{retention, threshold}
	}
	for _, s := range subscriptions {
		own, h := s.resolved.Config(), held[s.Stream]
		warn := func(key, text string) {
			i := slices.IndexFunc(s.Settings, func(set config.Setting) bool { return set.Key == key })
			warnings = append(warnings, config.Warning{
				Code: config.CodeNoEffect, Section: strings.Trim(s.Settings[i].Origin, "[]"), Key: key,
				Text: fmt.Sprintf("%s: handlers of the stream %q share its dead-letter queue", text, s.Stream),
			})
		}
		if r := own.DeadLetterRetention; r > 0 && r < h.retention {
			warn("dlq_retention_hours", fmt.Sprintf("%.0f of handler %s is not used, the longest holds, %.0f", r.Hours(), s.Handler, h.retention.Hours()))
		}
		if n := own.DeadLetterThreshold; n > h.threshold {
			warn("dlq_alert_threshold", fmt.Sprintf("%d of handler %s is not used, the lowest holds, %d", n, s.Handler, h.threshold))
		}
	}
	return warnings
}
