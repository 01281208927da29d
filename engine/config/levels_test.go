package config

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

// samples are values of each key of a subscription, as TOML has them: of those next
// to each other the kinds of two values differ.
func samples(t *testing.T, r row) func(level int) any {
	t.Helper()
	pick := func(values ...any) func(int) any {
		return func(level int) any { return values[level%len(values)] }
	}
	switch r.name {
	case "subscription_type":
		return pick("event_store", "stream")
	case "enable_dlq":
		return pick(true, false)
	case "start":
		return pick("beginning", "end")
	case "order":
		return func(level int) any { return fmt.Sprintf("field_%d", level) }
	case "origin_stream":
		return func(level int) any { return fmt.Sprintf("shop::other%d", level) }
	case "retry_backoff_multiplier":
		return func(level int) any { return 2 + float64(level)/10 }
	case "retry_jitter":
		return func(level int) any { return float64(1+level) / 20 }
	}
	return func(level int) any { return int64(1000 + level) }
}

// put sets a key of a dotted table.
func put(tree map[string]any, value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		inside, _ := tree[name].(map[string]any)
		if inside == nil {
			inside = map[string]any{}
			tree[name] = inside
		}
		tree = inside
	}
	tree[path[len(path)-1]] = value
}

// given is how far up the levels a test has come: a file, and the options of the
// handler H.
type given struct {
	file    map[string]any
	options handler.Options
}

// precedence is one place that may decide a key.
type precedence struct {
	name   string
	origin string
	set    func(g *given, key string, value any)
	// of says which keys may stand there; nil for all.
	of func(r row) bool
}

// serverSection is where a file sets a key for all stream subscriptions; nil for
// what it cannot.
func serverSection(r row) []string {
	for _, section := range [][]string{{"server"}, {"server", "stream_subscription"}, {"server", "event_store_subscription"}} {
		name := section[0]
		if len(section) == 2 {
			name += "." + section[1]
		}
		if slices.Contains(r.in, name) {
			return section
		}
	}
	return nil
}

// profileOf names a profile of the file that sets the key, over an inherited one.
func profileOf(name string, use func(g *given)) func(*given, string, any) {
	return func(g *given, key string, value any) {
		put(g.file, "fast", "server", "profiles", name, "inherits")
		put(g.file, value, "server", "profiles", name, key)
		use(g)
	}
}

// levelsOf are the places of a handler in Go, the weakest first.
func levelsOf() []precedence {
	return []precedence{
		{
			name: "the profile of default_subscription_profile", origin: "[server.profiles.bottom]",
			set: profileOf("bottom", func(g *given) { put(g.file, "Bottom", "server", "default_subscription_profile") }),
		},
		{
			name: "[server]", origin: "",
			set: func(g *given, key string, value any) {
				if key == "subscription_type" {
					put(g.file, value, "server", "default_subscription_type")
					return
				}
				put(g.file, value, append(serverSection(rowNamed(key)), key)...)
			},
			of: func(r row) bool { return r.name == "subscription_type" || serverSection(r) != nil },
		},
		{
			name: "the profile of [server.subscriptions.H]", origin: "[server.profiles.middle]",
			set: profileOf("middle", func(g *given) { put(g.file, "middle", "server", "subscriptions", "H", "profile") }),
		},
		{
			name: "[server.subscriptions.H]", origin: "[server.subscriptions.H]",
			set: func(g *given, key string, value any) { put(g.file, value, "server", "subscriptions", "H", key) },
		},
		{
			name: "the profile of the options", origin: "[server.profiles.top]",
			set: profileOf("top", func(g *given) { g.options.Profile = "top" }),
		},
		{
			name: "the settings of the options", origin: originOptions,
			set: func(g *given, key string, value any) { g.options.Settings = map[string]any{key: value} },
		},
	}
}

func rowNamed(name string) row {
	return *settings[slices.IndexFunc(settings, func(r *row) bool { return r.name == name })]
}

// resolve resolves H, in an environment whose tables are laid over the file.
func (g *given) resolve(t *testing.T, environment string) Resolved {
	t.Helper()
	r := reading{env: func(name string) (string, bool) { return environment, name == "PROTEAN_ENV" && environment != "" }}
	c, err := r.config("domain.toml", g.file)
	require.NoError(t, err)
	resolved, err := c.Resolve(handler.Events("shop.H", "shop::order").With(g.options))
	require.NoError(t, err)
	return resolved
}

func newGiven(key string) *given {
	g := &given{file: map[string]any{}}
	if key != "subscription_type" { // what an event store does not have is tried on a stream
		put(g.file, "stream", "server", "default_subscription_type")
	}
	return g
}

// decidedBy requires that a key has a value, as TOML has it, and where it is from.
func decidedBy(t *testing.T, r Resolved, key string, value any, origin, name string) {
	t.Helper()
	g := newGiven(key)
	put(g.file, value, "server", "subscriptions", "H", key)
	require.Equal(t, g.resolve(t, "").all[key].value, r.all[key].value, name)
	if origin != "" {
		require.Equal(t, origin, r.all[key].origin, name)
	}
}

// Protean drops some keys on some levels and others on all (L54, and its default
// profile): here each key that may stand on a level decides it.
func TestEveryKeyOfASubscriptionIsDecidedByTheStrongestLevelThatSetsIt(t *testing.T) {
	t.Parallel()
	for _, r := range settings {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			value := samples(t, *r)
			g := newGiven(r.name)
			before := g.resolve(t, "")
			require.Equal(t, r.defaultValue, before.all[r.name].value, "the default")
			for i, l := range levelsOf() {
				if l.of != nil && !l.of(*r) {
					continue
				}
				l.set(g, r.name, value(i))
				after := g.resolve(t, "")
				decidedBy(t, after, r.name, value(i), l.origin, l.name)
				require.NotEqual(t, before.all[r.name], after.all[r.name], l.name)
				before = after
			}
		})
	}
}

// What options are to a handler in Go, [observatory.handlers.<name>] is to one of the
// file. Its type is its own, whatever stands below.
func TestEveryKeyOfAHandlerOfTheFileIsDecidedByItsOwnTableFirst(t *testing.T) {
	t.Parallel()
	for _, r := range settings {
		if r.name == "subscription_type" {
			continue
		}
		value := samples(t, *r)
		g := newGiven(r.name)
		put(g.file, "shop::order", "observatory", "handlers", "shop.H", "stream")
		put(g.file, "log:", "observatory", "handlers", "shop.H", "deliver")
		levels := levelsOf()
		levels[4].set = profileOf("top", func(g *given) { put(g.file, "top", "observatory", "handlers", "shop.H", "profile") })
		levels[5].set = func(g *given, key string, value any) { put(g.file, value, "observatory", "handlers", "shop.H", key) }
		levels[5].origin = `[observatory.handlers."shop.H"]`
		for i, l := range levels {
			if r.handlerDefault != nil && i < 2 { // the default of such handlers is above what holds for all
				continue
			}
			if l.of == nil || l.of(*r) {
				l.set(g, r.name, value(i))
				decidedBy(t, g.resolve(t, ""), r.name, value(i), l.origin, r.name+", "+l.name)
			}
		}
	}
}

func TestAnEnvironmentsTableIsLaidOverEachLevelOfTheFile(t *testing.T) {
	t.Parallel()
	for _, r := range settings {
		for i, l := range levelsOf() {
			if l.name == "the settings of the options" || l.of != nil && !l.of(*r) {
				continue
			}
			value := samples(t, *r)
			g := newGiven(r.name)
			l.set(g, r.name, value(i))
			over := &given{file: map[string]any{}}
			l.set(over, r.name, value(i+1))
			g.file["prod"] = over.file
			name := r.name + ", " + l.name
			decidedBy(t, g.resolve(t, ""), r.name, value(i), l.origin, name)
			decidedBy(t, g.resolve(t, "prod"), r.name, value(i+1), l.origin, name+", in prod")
			decidedBy(t, g.resolve(t, "staging"), r.name, value(i), l.origin, name+", in staging")
		}
	}
}

// What a custom profile leaves out is its base's, wherever the profile is named.
func TestABuiltInProfileDecidesWhatItSetsOnEveryLevel(t *testing.T) {
	t.Parallel()
	for column, profile := range builtinProfiles {
		for name, use := range map[string]func(g *given, profile string){
			"default_subscription_profile": func(g *given, p string) { put(g.file, p, "server", "default_subscription_profile") },
			"[server.subscriptions.H]":     func(g *given, p string) { put(g.file, p, "server", "subscriptions", "H", "profile") },
			"Options.Profile":              func(g *given, p string) { g.options.Profile = p },
			"Options.Settings":             func(g *given, p string) { g.options.Settings = map[string]any{"profile": p} },
		} {
			for _, custom := range []bool{false, true} {
				g := &given{file: map[string]any{}}
				if custom {
					put(g.file, profile, "server", "profiles", "own", "inherits")
					use(g, "own")
				} else {
					use(g, profile)
				}
				resolved := g.resolve(t, "")
				for _, r := range settings {
					if r.profiles == nil {
						require.Equal(t, r.defaultValue, resolved.all[r.name].value, "%s by %s: %s", profile, name, r.name)
						continue
					}
					require.Equal(t, r.profiles[column], resolved.all[r.name].value, "%s by %s: %s", profile, name, r.name)
					require.Equal(t, "profile "+profile, resolved.all[r.name].origin, "%s by %s: %s", profile, name, r.name)
				}
			}
		}
	}
}

// Each key that has an effect reaches the field that it is for, and no other.
func TestEachKeyOfASubscriptionReachesItsOwnField(t *testing.T) {
	t.Parallel()
	plain := newGiven("").resolve(t, "").Config()
	reached := map[string]string{}
	for _, r := range settings {
		if r.sets == nil {
			continue
		}
		g := newGiven(r.name)
		value := samples(t, *r)
		put(g.file, value(1), "server", "subscriptions", "H", r.name)
		changed := g.resolve(t, "").Config()
		require.NotEqual(t, plain, changed, r.name)
		text := fmt.Sprintf("%+v", changed)
		require.NotContains(t, slices.Collect(maps.Values(reached)), text, r.name)
		reached[r.name] = text
	}
	g := newGiven("")
	for key, value := range map[string]any{
		"retry_backoff_multiplier": 2.5, "retry_max_delay_seconds": 90.0, "retry_jitter": 0.25, "max_retries": int64(9), "retry_delay_seconds": 1.5,
	} {
		put(g.file, value, "server", "subscriptions", "H", key)
	}
	retry := g.resolve(t, "").Config().Retry
	require.Equal(t, []any{9, 1500 * time.Millisecond, 2.5, 90 * time.Second, 0.25},
		[]any{retry.MaxAttempts, retry.Delay, retry.Multiplier, retry.MaxDelay, retry.Jitter})
}
