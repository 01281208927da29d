package message

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// FormatTime is the wire's form of a time: UTC as +00:00, six digits of
// fraction or, where there are no microseconds, none.
func FormatTime(t time.Time) string { return string(appendTime(nil, t)) }

func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if t.Nanosecond()/1000 == 0 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05+00:00")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000+00:00")
}

// parseTime reads a time as Python's reader does: ISO 8601 with `T`, `t`, `_`
// or a blank in the middle, with or without seconds and fraction (cut to
// microseconds), with `Z`, an offset, or neither, which is UTC; a date alone;
// or the text of an epoch number.
func parseTime(text []byte) (time.Time, bool) {
	r := timeReader{rest: text, ok: true}
	date := r.date()
	if !r.ok && len(bytes.Trim(text, "-.0123456789")) == 0 {
		return parseEpoch(text)
	}
	if r.ok && len(r.rest) == 0 {
		return date, true
	}
	r.oneOf("Tt _")
	clock := r.clock()
	offset := r.offset()
	if t := date.Add(clock - offset); r.ok && len(r.rest) == 0 && inRange(t) {
		return t, true
	}
	return time.Time{}, false
}

// inRange reports whether the wire's form has room for the year; an offset may
// lead out of it.
func inRange(t time.Time) bool { return 1 <= t.Year() && t.Year() <= 9999 }

// epochMillis is the number beyond which an epoch counts milliseconds.
const epochMillis = 2e10

// parseEpoch reads a decimal number of seconds or milliseconds.
func parseEpoch(text []byte) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return time.Time{}, false
	}
	if math.Abs(seconds) > epochMillis {
		seconds /= 1000
	}
	whole, fraction := math.Modf(seconds)
	t := time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1000).UTC()
	if math.Abs(seconds) > 1e12 || !inRange(t) {
		return time.Time{}, false
	}
	return t, true
}

// timeReader takes the parts of a time off the front of a text; the first that
// is not there clears ok.
type timeReader struct {
	rest []byte
	ok   bool
}

func (r *timeReader) date() time.Time {
	year := r.number(4, 1, 9999)
	r.oneOf("-")
	month := r.number(2, 1, 12)
	r.oneOf("-")
	day := r.number(2, 1, 31)
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	r.ok = r.ok && t.Day() == day // the 30th of February is not a day
	return t
}

func (r *timeReader) clock() time.Duration {
	d := time.Duration(r.number(2, 0, 23)) * time.Hour
	r.oneOf(":")
	d += time.Duration(r.number(2, 0, 59)) * time.Minute
	if !r.take(":") {
		return d
	}
	d += time.Duration(r.number(2, 0, 59)) * time.Second
	if !r.take(".,") {
		return d
	}
	return d + r.fraction()
}

// fraction reads digits and keeps six.
func (r *timeReader) fraction() time.Duration {
	unit := 100 * time.Millisecond
	var d time.Duration
	n := 0
	for ; n < len(r.rest) && isDigit(r.rest[n]); n++ {
		if n < 6 {
			d += time.Duration(r.rest[n]-'0') * unit
			unit /= 10
		}
	}
	r.ok = r.ok && n > 0
	r.rest = r.rest[n:]
	return d
}

func (r *timeReader) offset() time.Duration {
	if len(r.rest) == 0 || r.take("Zz") {
		return 0
	}
	sign := time.Duration(1)
	if r.take("-") {
		sign = -1
	} else {
		r.oneOf("+")
	}
	d := time.Duration(r.number(2, 0, 23)) * time.Hour
	r.take(":")
	return sign * (d + time.Duration(r.number(2, 0, 59))*time.Minute)
}

func (r *timeReader) number(digits, low, high int) (n int) {
	if len(r.rest) < digits {
		r.ok = false
		return 0
	}
	for _, c := range r.rest[:digits] {
		r.ok = r.ok && isDigit(c)
		n = n*10 + int(c-'0')
	}
	r.rest = r.rest[digits:]
	r.ok = r.ok && low <= n && n <= high
	return n
}

func (r *timeReader) oneOf(chars string) { r.ok = r.take(chars) && r.ok }

// take takes one of the characters if it is next.
func (r *timeReader) take(chars string) bool {
	if len(r.rest) == 0 {
		return false
	}
	for i := range len(chars) {
		if r.rest[0] == chars[i] {
			r.rest = r.rest[1:]
			return true
		}
	}
	return false
}
