package message

import (
	"encoding/json"
	"time"
)

// rawObject takes an object and returns its text.
func (d *decoder) rawObject() json.RawMessage {
	if d.peek() != '{' {
		d.wrong("an object")
		return nil
	}
	start := d.pos
	d.skip()
	return d.text[start:d.pos:d.pos]
}

// optionalText reads a string or null.
func (d *decoder) optionalText() string {
	switch d.peek() {
	case '"':
		return d.requiredText()
	case 'n':
		d.word("null")
	default:
		d.wrong("a string or null")
	}
	return ""
}

func (d *decoder) requiredText() string {
	if d.peek() != '"' {
		d.wrong("a string")
		return ""
	}
	inside, escaped := d.quoted()
	if escaped {
		return string(unescape(inside))
	}
	if d.err != nil {
		return ""
	}
	end := d.pos - 1 - d.base
	return d.kept[end-len(inside) : end]
}

func (d *decoder) boolean() bool {
	switch d.peek() {
	case 't':
		return d.word("true")
	case 'f':
		d.word("false")
	default:
		d.wrong("true or false")
	}
	return false
}

func (d *decoder) optionalInteger() *int64 {
	if d.null() {
		return nil
	}
	n := d.integer()
	return &n
}

func (d *decoder) integer() int64 {
	if c := d.peek(); c != '-' && !isDigit(c) {
		d.wrong("a whole number")
		return 0
	}
	literal, whole := d.number()
	n, ok := parseInteger(literal)
	if !whole || !ok {
		d.bad(quoteShort(literal) + " is not a whole number of 64 bits")
	}
	return n
}

// version reads a number, or the text "v1" of early releases.
func (d *decoder) version() int {
	if d.peek() != '"' {
		return int(d.integer())
	}
	text := []byte(d.requiredText())
	digits := text
	if len(digits) > 0 && digits[0] == 'v' {
		digits = digits[1:]
	}
	n, ok := parseInteger(digits)
	if !ok || n < 0 {
		d.bad(quoteShort(text) + " is not a version")
	}
	return int(n)
}

// parseInteger reads decimal digits with an optional minus, without the
// allocation that strconv makes for its error.
func parseInteger(digits []byte) (n int64, ok bool) {
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var u uint64 // 19 digits fit
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// time reads a time as text, an epoch number, or null.
func (d *decoder) time() time.Time {
	var text []byte
	var t time.Time
	var ok bool
	switch c := d.peek(); {
	case c == 'n':
		d.word("null")
		return time.Time{}
	case c == '"':
		inside, escaped := d.quoted()
		if text = inside; escaped {
			text = unescape(inside)
		}
		t, ok = parseTime(text)
	case c == '-' || isDigit(c):
		text, _ = d.number()
		t, ok = parseEpoch(text)
	default:
		d.wrong("a time")
		return time.Time{}
	}
	if !ok {
		d.bad(quoteShort(text) + " is not a time")
	}
	return t
}
