package domain

import (
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// text reads a text, and says whether there is one.
func (s section) text(key string) (string, bool) {
	switch v := s.tree[key].(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case *expanded:
		return v.text, true
	}
	s.bad(key, "expected a text")
	return "", false
}

// textOr returns the text of a key, or a default.
func (s section) textOr(key, otherwise string) string {
	if v, ok := s.text(key); ok {
		return v
	}
	return otherwise
}

// filled reads a text that is not empty.
func (s section) filled(key string) *string {
	v, ok := s.text(key)
	if !ok {
		return nil
	}
	if v == "" {
		s.bad(key, "expected a text that is not empty")
		return nil
	}
	return &v
}

// oneOf reads a name, in any case, and returns it as names has it.
func (s section) oneOf(key string, names ...string) (string, bool) {
	got, ok := s.text(key)
	if !ok {
		return "", false
	}
	if i := slices.Index(names, strings.ToLower(got)); i >= 0 {
		return names[i], true
	}
	s.badName(key, got, names)
	return "", false
}

// texts reads an array of texts.
func (s section) texts(key string) []string {
	if !s.has(key) {
		return nil
	}
	values, ok := s.tree[key].([]any)
	if !ok {
		s.bad(key, "expected an array of texts")
		return nil
	}
	all := make([]string, 0, len(values))
	for _, v := range values {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case *expanded:
			all = append(all, v.text)
		default:
			s.bad(key, "expected an array of texts")
			return nil
		}
	}
	return all
}

// bool reads true or false.
func (s section) bool(key string) *bool {
	value := s.tree[key]
	if text, ok := plain(value).(string); ok {
		switch strings.ToLower(text) {
		case "true":
			return new(true)
		case "false":
			return new(false)
		}
	}
	if v, ok := value.(bool); ok {
		return &v
	}
	if value != nil {
		s.bad(key, "expected true or false")
	}
	return nil
}

// int reads a whole number of at least least.
func (s section) int(key string, least int) *int {
	if !s.has(key) {
		return nil
	}
	v, ok := s.tree[key].(int64)
	if text, isText := plain(s.tree[key]).(string); isText {
		n, err := strconv.ParseInt(text, 10, 64)
		v, ok = n, err == nil
	}
	if !ok || v < int64(least) || v > math.MaxInt32 {
		s.bad(key, "expected a whole number from %d to %d", least, math.MaxInt32)
		return nil
	}
	return new(int(v))
}

// number reads a number between least and most.
func (s section) number(key string, least, most float64) *float64 {
	v, ok := s.float(key)
	if !ok {
		return nil
	}
	if math.IsNaN(v) || v < least || v > most {
		s.bad(key, "expected a number from %g to %g", least, most)
		return nil
	}
	return &v
}

func (s section) float(key string) (float64, bool) {
	switch v := plain(s.tree[key]).(type) {
	case nil:
		return 0, false
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f, true
		}
	}
	s.bad(key, "expected a number")
	return 0, false
}

// span is what a duration may be: of which unit, and whether it may be zero.
type span struct {
	unit     time.Duration
	positive bool
}

var (
	seconds         = span{unit: time.Second}
	positiveSeconds = span{unit: time.Second, positive: true}
	positiveMillis  = span{unit: time.Millisecond, positive: true}
)

const longest = 366 * 24 * time.Hour

// duration reads a number of units; fractions are allowed.
func (s section) duration(key string, of span) *time.Duration {
	v, ok := s.float(key)
	if !ok {
		return nil
	}
	most := float64(longest / of.unit)
	if inRange := v >= 0 && v <= most; !inRange || of.positive && v == 0 {
		least := "0"
		if of.positive {
			least = "more than 0"
		}
		s.bad(key, "expected a number of %s, from %s to %.0f", unitName(of.unit), least, most)
		return nil
	}
	return new(time.Duration(math.Round(v * float64(of.unit))))
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "milliseconds"
	}
	return "seconds"
}

// port reads a TCP port; 0 takes a free one.
func (s section) port(key string) *int {
	v := s.int(key, 0)
	if v != nil && *v > 65535 {
		s.bad(key, "expected a port from 0 to 65535")
		return nil
	}
	return v
}

// address reads host:port.
func (s section) address(key, otherwise string) string {
	v, ok := s.text(key)
	if !ok {
		return otherwise
	}
	_, port, err := net.SplitHostPort(v)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		s.bad(key, "expected an address such as 127.0.0.1:9000")
		return otherwise
	}
	return v
}

// plain is a value of the tree with its variables filled in.
func plain(value any) any {
	if e, ok := value.(*expanded); ok {
		return e.text
	}
	return value
}

// or returns what v points to, or a default.
func or[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}
	return *v
}
