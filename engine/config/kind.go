package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is how the value of a key is read: its type, and its range. A value may
// be a text of `${VAR}` whatever its type.
type kind struct {
	// want says for the page of keys what the value must be.
	want string
	// read returns the value as its Go type, or nil: the key is not given, or is
	// wrong, which it has reported.
	read func(s section, key string) any
	// show is a value as the file would have it.
	show func(value any) string
}

func showPlain(value any) string { return fmt.Sprint(value) }

// The kinds without a range.
var (
	// unread is for what only Python can use. It is left to Python to check.
	unread = elsewhere("")

	text = kind{"text", func(s section, key string) any {
		if v, ok := s.text(key); ok {
			return v
		}
		return nil
	}, showPlain}

	// uri is what url.Parse takes: a URN, a URL or a path.
	uri = kind{"URI", func(s section, key string) any {
		v, ok := s.text(key)
		if !ok {
			return nil
		}
		if _, err := url.Parse(v); err != nil {
			s.bad(key, "expected a URI, such as urn:protean:shop")
			return nil
		}
		return v
	}, showPlain}

	// notBlank is a text that is more than spaces.
	notBlank = kind{"text", func(s section, key string) any {
		v, ok := s.text(key)
		switch {
		case !ok:
			return nil
		case strings.TrimSpace(v) == "":
			s.bad(key, "expected a text that is not blank")
			return nil
		}
		return v
	}, showPlain}

	texts = kind{"array of texts", func(s section, key string) any {
		if all := s.texts(key); all != nil {
			return all
		}
		return nil
	}, showPlain}

	boolean = kind{"boolean", func(s section, key string) any {
		value := plain(s.tree[key])
		if name, ok := value.(string); ok {
			switch strings.ToLower(name) {
			case "true":
				return true
			case "false":
				return false
			}
		}
		if v, ok := value.(bool); ok {
			return v
		}
		if value != nil {
			s.bad(key, "expected true or false")
		}
		return nil
	}, showPlain}

	// port is a TCP port; 0 takes a free one.
	port = kind{"0 to 65535", func(s section, key string) any {
		v, ok := s.whole(key, 0, math.MaxInt32)
		switch {
		case !ok:
			return nil
		case v > 65535:
			s.bad(key, "expected a port from 0 to 65535")
			return nil
		}
		return int(v)
	}, showPlain}

	hostPort = kind{"`host:port`", func(s section, key string) any {
		v, ok := s.text(key)
		switch {
		case !ok:
			return nil
		case CheckAddress(v) != nil:
			s.bad(key, "%s", CheckAddress(v))
			return nil
		}
		return v
	}, showPlain}

	// host is a name or an IP address, without a port; an IPv6 address is not in
	// brackets.
	host = kind{"host", func(s section, key string) any {
		v, ok := s.text(key)
		switch {
		case !ok:
			return nil
		case v != "" && !isHost(v), v != "" && isNumber(v) && net.ParseIP(v) == nil:
			s.bad(key, "expected a host or an IP address, such as 0.0.0.0, and the port as its own key")
			return nil
		}
		return v
	}, showPlain}

	// anyNumber is a number without a range: a float64.
	anyNumber = kind{"number", func(s section, key string) any {
		if v, ok := s.float(key); ok {
			return v
		}
		return nil
	}, showPlain}
)

// CheckAddress says what is wrong with an address to listen on, host:port; the
// host may be empty, and port 0 takes a free one. Nil if nothing is.
func CheckAddress(text string) error {
	host, port, err := net.SplitHostPort(text)
	if n, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil || n > 65535 || host != "" && (!isHost(host) || isNumber(host) && net.ParseIP(host) == nil) {
		return errors.New("expected an address such as 127.0.0.1:9000")
	}
	return nil
}

// isHost reports whether a text is an IP address or has the form of a name.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r) && r < 0x80
	}
	return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, other) && strings.Trim(text, "-") == text
}

// isNumber reports whether a host ends like an IP address.
func isNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// filledText is a text that is not empty.
func filledText(want string) kind {
	return kind{want, func(s section, key string) any {
		v, ok := s.text(key)
		switch {
		case !ok:
			return nil
		case v == "":
			s.bad(key, "expected a text that is not empty")
			return nil
		}
		return v
	}, showPlain}
}

// elsewhere is for what needs more than its own value to be read: the code that
// builds from the section reads it.
func elsewhere(want string) kind {
	return kind{want, func(section, string) any { return nil }, showPlain}
}

// The greatest values of whole numbers: of what is opened, started or held so many
// times, and of what is only counted.
const (
	many    = 10_000
	million = 1_000_000
	most32  = math.MaxInt32
)

// whole is a whole number of a range: an int.
func whole(least, most int) kind {
	return kind{fmt.Sprintf("whole number, %d to %d", least, most), func(s section, key string) any {
		if v, ok := s.whole(key, int64(least), int64(most)); ok {
			return int(v)
		}
		return nil
	}, showPlain}
}

// bytes is a size of a range: an int64.
func bytes(least, most int64) kind {
	return kind{fmt.Sprintf("bytes, %d to %d", least, most), func(s section, key string) any {
		if v, ok := s.whole(key, least, most); ok {
			return v
		}
		return nil
	}, showPlain}
}

// number is a number in a range: a float64.
func number(want string, least, most float64) kind {
	return kind{want, func(s section, key string) any {
		v, ok := s.float(key)
		switch {
		case !ok:
			return nil
		case math.IsNaN(v) || v < least || v > most:
			s.bad(key, "expected a number from %g to %g", least, most)
			return nil
		}
		return v
	}, showPlain}
}

// oneOf is one of some names, in any case.
func oneOf(names ...string) kind {
	return kind{"`" + strings.Join(names, "`, `") + "`", func(s section, key string) any {
		got, ok := s.text(key)
		if !ok {
			return nil
		}
		if i := slices.Index(names, strings.ToLower(got)); i >= 0 {
			return names[i]
		}
		s.badName(key, got, names)
		return nil
	}, showPlain}
}

// The kinds of durations. Fractions are allowed.
var (
	seconds         = duration("seconds", time.Second, false)
	positiveSeconds = duration("seconds", time.Second, true)
	positiveMillis  = duration("milliseconds", time.Millisecond, true)
)

// The shortest and the longest duration. What is shorter is no time that a timer
// keeps, and would become 0, which means something else.
const (
	shortest = time.Millisecond
	longest  = 366 * 24 * time.Hour
)

// duration is a time in a unit, from the shortest to the longest, or 0 unless it
// must be positive.
func duration(name string, unit time.Duration, positive bool) kind {
	inUnits := func(d time.Duration) string {
		return strconv.FormatFloat(float64(d)/float64(unit), 'f', -1, 64)
	}
	want := fmt.Sprintf("%s, 0 or ≥ %s", name, inUnits(shortest))
	expected := fmt.Sprintf("expected a number of %s, 0 or from %s to %s", name, inUnits(shortest), inUnits(longest))
	if positive {
		want, expected = fmt.Sprintf("%s, ≥ %s", name, inUnits(shortest)), strings.Replace(expected, "0 or from", "from", 1)
	}
	return kind{want, func(s section, key string) any {
		v, ok := s.float(key)
		if !ok {
			return nil
		}
		isNone := v == 0 && !positive
		if atLeast, atMost := float64(shortest)/float64(unit), float64(longest)/float64(unit); !isNone && !(v >= atLeast && v <= atMost) {
			s.bad(key, "%s", expected)
			return nil
		}
		return time.Duration(math.Round(v * float64(unit)))
	}, func(value any) string { return inUnits(value.(time.Duration)) }}
}

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

// texts reads an array of texts; nil where there is none.
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
		v, ok := plain(v).(string)
		if !ok {
			s.bad(key, "expected an array of texts")
			return nil
		}
		all = append(all, v)
	}
	return all
}

// whole reads a whole number in a range, and says whether there is one.
func (s section) whole(key string, least, most int64) (int64, bool) {
	if !s.has(key) {
		return 0, false
	}
	v, ok := wholeNumber(plain(s.tree[key]))
	if !ok || v < least || v > most {
		s.bad(key, "expected a whole number from %d to %d", least, most)
		return 0, false
	}
	return v, true
}

func wholeNumber(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// float reads a number, and says whether there is one.
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

// plain is a value of the tree with its references filled in.
func plain(value any) any {
	if e, ok := value.(*expanded); ok {
		return e.text
	}
	return value
}
